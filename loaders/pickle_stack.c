#include "loaders/pickle_stack.h"

#include <stdlib.h>
#include <string.h>

vc_status vc_pickle_no_memory(const vc_pickle_machine *vm) {
  return vc_fail(vm->error, VC_NO_MEMORY, "%s: no memory for its pickle", vm->name);
}

vc_pickle_value *vc_pickle_new(vc_pickle_machine *vm, vc_pickle_kind kind) {
  if (!vm->chunks || vm->chunks->used == VC_PICKLE_CHUNK) {
    vc_pickle_chunk *more = malloc(sizeof *more);
    if (!more) return NULL;
    more->next = vm->chunks;
    more->used = 0;
    vm->chunks = more;
  }
  vc_pickle_value *value = &vm->chunks->value[vm->chunks->used++];
  *value = (vc_pickle_value){.kind = kind};
  return value;
}

static bool reserve(vc_pickle_list *list, size_t count) {
  if (count <= list->capacity) return true;
  size_t wanted = list->capacity ? 2 * list->capacity : 64;
  if (wanted < count) wanted = count;
  vc_pickle_value **bigger = reallocarray(list->item, wanted, sizeof *bigger);
  if (!bigger) return false;
  list->item = bigger;
  list->capacity = wanted;
  return true;
}

vc_status vc_pickle_push(vc_pickle_machine *vm, vc_pickle_value *value) {
  if (!value || !reserve(&vm->stack, vm->stack.count + 1)) return vc_pickle_no_memory(vm);
  vm->stack.item[vm->stack.count++] = value;
  return VC_OK;
}

vc_status vc_pickle_need(const vc_pickle_machine *vm, size_t count) {
  size_t height = vm->marks ? vm->mark[vm->marks - 1] : 0;
  if (vm->stack.count - height >= count) return VC_OK;
  return VC_PICKLE_FAIL(vm, "takes more from the stack than there is");
}

vc_pickle_value *vc_pickle_top(const vc_pickle_machine *vm) {
  return vm->stack.item[vm->stack.count - 1];
}

vc_status vc_pickle_drop(vc_pickle_machine *vm) {
  if (vm->marks && vm->stack.count == vm->mark[vm->marks - 1]) {
    vm->marks--;
    return VC_OK;
  }
  vc_status status = vc_pickle_need(vm, 1);
  if (!status) vm->stack.count--;
  return status;
}

vc_status vc_pickle_push_mark(vc_pickle_machine *vm) {
  if (vm->marks == vm->mark_capacity) {
    size_t wanted = vm->mark_capacity ? 2 * vm->mark_capacity : 64;
    size_t *bigger = reallocarray(vm->mark, wanted, sizeof *bigger);
    if (!bigger) return vc_pickle_no_memory(vm);
    vm->mark = bigger;
    vm->mark_capacity = wanted;
  }
  vm->mark[vm->marks++] = vm->stack.count;
  return VC_OK;
}

vc_status vc_pickle_pop_mark(vc_pickle_machine *vm, vc_pickle_value ***item, size_t *count) {
  if (!vm->marks) return VC_PICKLE_FAIL(vm, "takes up to a mark where there is none");
  size_t height = vm->mark[--vm->marks];
  *count = vm->stack.count - height;
  *item = *count ? vm->stack.item + height : NULL;
  vm->stack.count = height;
  return VC_OK;
}

// Room that a container of `count` items has: a function of the count, so that it need not be stored.
static size_t room_for(size_t count) {
  size_t room = count ? 1 : 0;
  while (room < count) room *= 2;
  return room;
}

vc_status vc_pickle_append(vc_pickle_machine *vm, vc_pickle_value *to, vc_pickle_value *const *item, size_t count) {
  size_t total = to->count + count;
  if (total > UINT32_MAX / 2) return VC_PICKLE_FAIL(vm, "makes a container that is too large");
  if (room_for(total) != room_for(to->count)) {
    vc_pickle_value **bigger = reallocarray(to->item, room_for(total), sizeof *bigger);
    if (!bigger) return vc_pickle_no_memory(vm);
    to->item = bigger;
  }
  if (count) memcpy(to->item + to->count, item, count * sizeof *item);
  to->count = (uint32_t)total;
  return VC_OK;
}

vc_status vc_pickle_push_items(vc_pickle_machine *vm, vc_pickle_kind kind, vc_pickle_value *const *item, size_t count) {
  vc_pickle_value *value = vc_pickle_new(vm, kind);
  if (!value) return vc_pickle_no_memory(vm);
  vc_status status = vc_pickle_append(vm, value, item, count);
  return status ? status : vc_pickle_push(vm, value);
}

vc_status vc_pickle_wrap(vc_pickle_machine *vm, vc_pickle_kind kind, size_t count) {
  vc_status status = vc_pickle_need(vm, count);
  if (status) return status;
  vm->stack.count -= count;
  return vc_pickle_push_items(vm, kind, vm->stack.item + vm->stack.count, count);
}

vc_status vc_pickle_put(vc_pickle_machine *vm, uint64_t index) {
  vc_status status = vc_pickle_need(vm, 1);
  if (status) return status;
  // Writers number the memo from 0 on, so an honest index is smaller than the pickle; one of 2^32 must not cost memory.
  if (index >= vm->size) return VC_PICKLE_FAIL(vm, "memo index %llu is too large", (unsigned long long)index);
  if (!reserve(&vm->memo, (size_t)index + 1)) return vc_pickle_no_memory(vm);
  for (; vm->memo.count <= index; vm->memo.count++) vm->memo.item[vm->memo.count] = NULL;
  if (!vm->memo.item[index]) vm->memoized++;
  vm->memo.item[index] = vc_pickle_top(vm);
  return VC_OK;
}

vc_status vc_pickle_get_memo(vc_pickle_machine *vm, uint64_t index) {
  if (index >= vm->memo.count || !vm->memo.item[index])
    return VC_PICKLE_FAIL(vm, "memo index %llu was never stored", (unsigned long long)index);
  return vc_pickle_push(vm, vm->memo.item[index]);
}

vc_status vc_pickle_persist(vc_pickle_machine *vm) {
  vc_status status = vc_pickle_wrap(vm, VC_PICKLE_PERSISTENT, 1);
  if (status) return status;
  if (!reserve(&vm->persistent, vm->persistent.count + 1)) return vc_pickle_no_memory(vm);
  vm->persistent.item[vm->persistent.count++] = vc_pickle_top(vm);
  return VC_OK;
}

void vc_pickle_free_machine(vc_pickle_machine *vm) {
  free(vm->stack.item);
  free(vm->memo.item);
  free(vm->mark);
}

void vc_pickle_free_values(vc_pickle_chunk *chunks) {
  for (vc_pickle_chunk *next; chunks; chunks = next) {
    next = chunks->next;
    for (size_t i = 0; i < chunks->used; i++)
      if (chunks->value[i].kind >= VC_PICKLE_TUPLE) free(chunks->value[i].item);
    free(chunks);
  }
}
