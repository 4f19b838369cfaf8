#include "loaders/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "loaders/pickle_stack.h"

// Opcodes, by their names in pickletools.
enum {
  OP_MARK = '(',
  OP_EMPTY_TUPLE = ')',
  OP_STOP = '.',
  OP_POP = '0',
  OP_POP_MARK = '1',
  OP_DUP = '2',
  OP_BINBYTES = 'B',
  OP_SHORT_BINBYTES = 'C',
  OP_BINFLOAT = 'G',
  OP_BININT = 'J',
  OP_BININT1 = 'K',
  OP_BININT2 = 'M',
  OP_NONE = 'N',
  OP_BINPERSID = 'Q',
  OP_REDUCE = 'R',
  OP_BINSTRING = 'T',
  OP_SHORT_BINSTRING = 'U',
  OP_BINUNICODE = 'X',
  OP_EMPTY_LIST = ']',
  OP_APPEND = 'a',
  OP_BUILD = 'b',
  OP_GLOBAL = 'c',
  OP_DICT = 'd',
  OP_APPENDS = 'e',
  OP_BINGET = 'h',
  OP_LONG_BINGET = 'j',
  OP_LIST = 'l',
  OP_BINPUT = 'q',
  OP_LONG_BINPUT = 'r',
  OP_SETITEM = 's',
  OP_TUPLE = 't',
  OP_SETITEMS = 'u',
  OP_EMPTY_DICT = '}',
  OP_PROTO = 0x80,
  OP_NEWOBJ = 0x81,
  OP_TUPLE1 = 0x85,
  OP_TUPLE2 = 0x86,
  OP_TUPLE3 = 0x87,
  OP_NEWTRUE = 0x88,
  OP_NEWFALSE = 0x89,
  OP_LONG1 = 0x8a,
  OP_LONG4 = 0x8b,
  OP_SHORT_BINUNICODE = 0x8c,
  OP_BINUNICODE8 = 0x8d,
  OP_BINBYTES8 = 0x8e,
  OP_EMPTY_SET = 0x8f,
  OP_ADDITEMS = 0x90,
  OP_FROZENSET = 0x91,
  OP_NEWOBJ_EX = 0x92,
  OP_STACK_GLOBAL = 0x93,
  OP_MEMOIZE = 0x94,
  OP_FRAME = 0x95,
  OP_BYTEARRAY8 = 0x96,
};

enum { MIN_PROTOCOL = 2, MAX_PROTOCOL = 5 };

static vc_status take(vc_pickle_machine *vm, size_t count, const unsigned char **bytes) {
  if (count > vm->size - vm->at) return VC_PICKLE_FAIL(vm, "is cut short");
  *bytes = vm->data + vm->at;
  vm->at += count;
  return VC_OK;
}

static vc_status take_number(vc_pickle_machine *vm, size_t bytes, uint64_t *out) {
  const unsigned char *from = NULL;
  vc_status status = take(vm, bytes, &from);
  *out = 0;
  for (size_t i = 0; !status && i < bytes; i++) *out |= (uint64_t)from[i] << 8 * i;
  return status;
}

static vc_status push_integer(vc_pickle_machine *vm, vc_pickle_kind kind, int64_t integer) {
  vc_pickle_value *value = vc_pickle_new(vm, kind);
  if (value) value->integer = integer;
  return vc_pickle_push(vm, value);
}

static vc_status push_text(vc_pickle_machine *vm, vc_pickle_kind kind, size_t length_bytes) {
  const unsigned char *text = NULL;
  uint64_t length;
  vc_status status = take_number(vm, length_bytes, &length);
  if (!status && length > vm->size) status = VC_PICKLE_FAIL(vm, "is cut short");
  if (!status) status = take(vm, (size_t)length, &text);
  if (status) return status;
  vc_pickle_value *value = vc_pickle_new(vm, kind);
  if (value) {
    value->text = (const char *)text;
    value->count = (uint32_t)length;
  }
  return vc_pickle_push(vm, value);
}

// LONG1 and LONG4: two's complement of any length; what fits in 64 bits becomes an INT.
static vc_status push_long(vc_pickle_machine *vm, size_t length_bytes) {
  vc_status status = push_text(vm, VC_PICKLE_LONG, length_bytes);
  if (status) return status;
  vc_pickle_value *value = vc_pickle_top(vm);
  if (value->count > 8) return VC_OK;
  uint64_t bits = value->count && (value->text[value->count - 1] & 0x80) ? UINT64_MAX : 0;
  for (uint32_t i = value->count; i-- > 0;) bits = bits << 8 | (unsigned char)value->text[i];
  *value = (vc_pickle_value){.kind = VC_PICKLE_INT, .integer = (int64_t)bits};
  return VC_OK;
}

static vc_status push_float(vc_pickle_machine *vm) {
  const unsigned char *from = NULL;
  uint64_t bits = 0;
  vc_status status = take(vm, 8, &from);
  if (status) return status;
  for (int i = 0; i < 8; i++) bits = bits << 8 | from[i];  // the one number that is big-endian
  vc_pickle_value *value = vc_pickle_new(vm, VC_PICKLE_FLOAT);
  if (value) memcpy(&value->number, &bits, sizeof bits);
  return vc_pickle_push(vm, value);
}

static vc_status add_to_container(vc_pickle_machine *vm, vc_pickle_kind kind, size_t single) {
  static const char *const kinds[] = {[VC_PICKLE_LIST] = "list", [VC_PICKLE_SET] = "set", [VC_PICKLE_DICT] = "dict"};
  vc_pickle_value **item = NULL;
  size_t count = single;
  vc_status status = single ? vc_pickle_need(vm, single) : vc_pickle_pop_mark(vm, &item, &count);
  if (status) return status;
  if (single) {
    vm->stack.count -= single;
    item = vm->stack.item + vm->stack.count;
  }
  status = vc_pickle_need(vm, 1);
  if (status) return status;
  if (vc_pickle_top(vm)->kind != kind) return VC_PICKLE_FAIL(vm, "adds to something that is no %s", kinds[kind]);
  if (kind == VC_PICKLE_DICT && count % 2) return VC_PICKLE_FAIL(vm, "adds a key without a value");
  return vc_pickle_append(vm, vc_pickle_top(vm), item, count);
}

static vc_status push_marked(vc_pickle_machine *vm, vc_pickle_kind kind) {
  vc_pickle_value **item = NULL;
  size_t count = 0;
  vc_status status = vc_pickle_pop_mark(vm, &item, &count);
  if (status) return status;
  if (kind == VC_PICKLE_DICT && count % 2) return VC_PICKLE_FAIL(vm, "makes a key without a value");
  return vc_pickle_push_items(vm, kind, item, count);
}

static vc_status push_line(vc_pickle_machine *vm) {
  const unsigned char *from = vm->data + vm->at, *end = memchr(from, '\n', vm->size - vm->at);
  if (!end) return VC_PICKLE_FAIL(vm, "is cut short");
  vc_pickle_value *value = vc_pickle_new(vm, VC_PICKLE_TEXT);
  if (value) {
    value->text = (const char *)from;
    value->count = (uint32_t)(end - from);
  }
  vm->at += value ? value->count + 1 : 0;
  return vc_pickle_push(vm, value);
}

static vc_status make_global(vc_pickle_machine *vm) {
  vc_status status = vc_pickle_need(vm, 2);
  if (status) return status;
  const vc_pickle_value *name = vc_pickle_top(vm), *module = vm->stack.item[vm->stack.count - 2];
  if (name->kind != VC_PICKLE_TEXT || module->kind != VC_PICKLE_TEXT)
    return VC_PICKLE_FAIL(vm, "names a class by something that is no text");
  return vc_pickle_wrap(vm, VC_PICKLE_GLOBAL, 2);
}

// OrderedDict(pairs), as Python 2 writes it. A pickle that expands one list many times over is refused: in an honest
// one the pairs are all different, so that there are fewer than bytes.
static vc_status fill_from_pairs(vc_pickle_machine *vm, vc_pickle_value *dict, const vc_pickle_value *pairs) {
  if (pairs->kind != VC_PICKLE_LIST && pairs->kind != VC_PICKLE_TUPLE)
    return VC_PICKLE_FAIL(vm, "makes a dictionary of something that is no list of pairs");
  vm->copied += pairs->count;
  if (vm->copied > vm->size) return VC_PICKLE_FAIL(vm, "copies the same list again and again");
  for (uint32_t i = 0; i < pairs->count; i++) {
    const vc_pickle_value *pair = pairs->item[i];
    if ((pair->kind != VC_PICKLE_LIST && pair->kind != VC_PICKLE_TUPLE) || pair->count != 2)
      return VC_PICKLE_FAIL(vm, "makes a dictionary of something that is no list of pairs");
    vc_status status = vc_pickle_append(vm, dict, pair->item, 2);
    if (status) return status;
  }
  return VC_OK;
}

// The stack holds a callee and the tuple of its arguments.
static vc_status call(vc_pickle_machine *vm) {
  vc_status status = vc_pickle_need(vm, 2);
  if (status) return status;
  const vc_pickle_value *arguments = vc_pickle_top(vm), *callee = vm->stack.item[vm->stack.count - 2];
  if (callee->kind != VC_PICKLE_GLOBAL || arguments->kind != VC_PICKLE_TUPLE)
    return VC_PICKLE_FAIL(vm, "calls something that is no function, or without arguments");
  bool ordered = vc_pickle_is_global(callee, "collections", "OrderedDict");
  if ((ordered || vc_pickle_is_global(callee, "collections", "defaultdict")) && arguments->count <= 1) {
    vc_pickle_value *dict = vc_pickle_new(vm, VC_PICKLE_DICT);
    if (!dict) return vc_pickle_no_memory(vm);
    if (ordered && arguments->count) status = fill_from_pairs(vm, dict, arguments->item[0]);
    vm->stack.count -= 2;
    return status ? status : vc_pickle_push(vm, dict);
  }
  for (const vc_pickle_name *known = vm->calls; known->module; known++)
    if (vc_pickle_is_global(callee, known->module, known->name)) return vc_pickle_wrap(vm, VC_PICKLE_CALL, 2);
  const vc_pickle_value *module = callee->item[0], *name = callee->item[1];
  return VC_PICKLE_FAIL(vm, "wants to call %.*s.%.*s, which has no place in a file of tensors; nothing was run",
                        (int)(module->count < 200 ? module->count : 200), module->text,
                        (int)(name->count < 200 ? name->count : 200), name->text);
}

// Attributes set on an object: those of a dictionary (_metadata of a state dict) and of a recorded call are dropped.
static vc_status build(vc_pickle_machine *vm) {
  vc_status status = vc_pickle_need(vm, 2);
  if (status) return status;
  vm->stack.count--;
  if (vc_pickle_top(vm)->kind == VC_PICKLE_DICT || vc_pickle_top(vm)->kind == VC_PICKLE_CALL) return VC_OK;
  return VC_PICKLE_FAIL(vm, "sets attributes of something that has none");
}

// Opcodes that only push what is written behind them.
static vc_status run_constant(vc_pickle_machine *vm, int opcode, bool *known) {
  uint64_t number = 0;
  vc_status status = VC_OK;
  switch (opcode) {
    case OP_NONE:
      return vc_pickle_push(vm, vc_pickle_new(vm, VC_PICKLE_NONE));
    case OP_NEWTRUE:
    case OP_NEWFALSE:
      return push_integer(vm, VC_PICKLE_BOOL, opcode == OP_NEWTRUE);
    case OP_BININT:
      status = take_number(vm, 4, &number);
      return status ? status : push_integer(vm, VC_PICKLE_INT, (int32_t)(uint32_t)number);
    case OP_BININT1:
    case OP_BININT2:
      status = take_number(vm, opcode == OP_BININT1 ? 1 : 2, &number);
      return status ? status : push_integer(vm, VC_PICKLE_INT, (int64_t)number);
    case OP_LONG1:
    case OP_LONG4:
      return push_long(vm, opcode == OP_LONG1 ? 1 : 4);
    case OP_BINFLOAT:
      return push_float(vm);
    case OP_SHORT_BINSTRING:
    case OP_SHORT_BINUNICODE:
      return push_text(vm, VC_PICKLE_TEXT, 1);
    case OP_BINSTRING:
    case OP_BINUNICODE:
      return push_text(vm, VC_PICKLE_TEXT, 4);
    case OP_BINUNICODE8:
      return push_text(vm, VC_PICKLE_TEXT, 8);
    case OP_SHORT_BINBYTES:
      return push_text(vm, VC_PICKLE_BYTES, 1);
    case OP_BINBYTES:
      return push_text(vm, VC_PICKLE_BYTES, 4);
    case OP_BINBYTES8:
    case OP_BYTEARRAY8:
      return push_text(vm, VC_PICKLE_BYTES, 8);
    default:
      *known = false;
      return VC_OK;
  }
}

static vc_status run_container(vc_pickle_machine *vm, int opcode, bool *known) {
  switch (opcode) {
    case OP_EMPTY_TUPLE:
      return vc_pickle_push(vm, vc_pickle_new(vm, VC_PICKLE_TUPLE));
    case OP_EMPTY_LIST:
      return vc_pickle_push(vm, vc_pickle_new(vm, VC_PICKLE_LIST));
    case OP_EMPTY_SET:
      return vc_pickle_push(vm, vc_pickle_new(vm, VC_PICKLE_SET));
    case OP_EMPTY_DICT:
      return vc_pickle_push(vm, vc_pickle_new(vm, VC_PICKLE_DICT));
    case OP_TUPLE1:
    case OP_TUPLE2:
    case OP_TUPLE3:
      return vc_pickle_wrap(vm, VC_PICKLE_TUPLE, (size_t)(opcode - OP_TUPLE1 + 1));
    case OP_TUPLE:
      return push_marked(vm, VC_PICKLE_TUPLE);
    case OP_LIST:
      return push_marked(vm, VC_PICKLE_LIST);
    case OP_FROZENSET:
      return push_marked(vm, VC_PICKLE_SET);
    case OP_DICT:
      return push_marked(vm, VC_PICKLE_DICT);
    case OP_APPEND:
      return add_to_container(vm, VC_PICKLE_LIST, 1);
    case OP_APPENDS:
      return add_to_container(vm, VC_PICKLE_LIST, 0);
    case OP_ADDITEMS:
      return add_to_container(vm, VC_PICKLE_SET, 0);
    case OP_SETITEM:
      return add_to_container(vm, VC_PICKLE_DICT, 2);
    case OP_SETITEMS:
      return add_to_container(vm, VC_PICKLE_DICT, 0);
    default:
      *known = false;
      return VC_OK;
  }
}

static vc_status run_memo(vc_pickle_machine *vm, int opcode, bool *known) {
  uint64_t index = vm->memoized;
  vc_status status = VC_OK;
  switch (opcode) {
    case OP_BINPUT:
    case OP_LONG_BINPUT:
      status = take_number(vm, opcode == OP_BINPUT ? 1 : 4, &index);
      return status ? status : vc_pickle_put(vm, index);
    case OP_MEMOIZE:
      return vc_pickle_put(vm, index);
    case OP_BINGET:
    case OP_LONG_BINGET:
      status = take_number(vm, opcode == OP_BINGET ? 1 : 4, &index);
      return status ? status : vc_pickle_get_memo(vm, index);
    case OP_MARK:
      return vc_pickle_push_mark(vm);
    case OP_POP:
      return vc_pickle_drop(vm);
    case OP_DUP:
      status = vc_pickle_need(vm, 1);
      return status ? status : vc_pickle_push(vm, vc_pickle_top(vm));
    case OP_POP_MARK: {
      vc_pickle_value **item = NULL;
      size_t count = 0;
      return vc_pickle_pop_mark(vm, &item, &count);
    }
    default:
      *known = false;
      return VC_OK;
  }
}

static vc_status run_call(vc_pickle_machine *vm, int opcode, bool *known) {
  vc_status status = VC_OK;
  switch (opcode) {
    case OP_GLOBAL:
      status = push_line(vm);
      if (!status) status = push_line(vm);
      return status ? status : make_global(vm);
    case OP_STACK_GLOBAL:
      return make_global(vm);
    case OP_NEWOBJ_EX:  // keyword arguments come last, and no call that may be made needs them
      status = vc_pickle_drop(vm);
      return status ? status : call(vm);
    case OP_REDUCE:
    case OP_NEWOBJ:
      return call(vm);
    case OP_BUILD:
      return build(vm);
    case OP_BINPERSID:
      return vc_pickle_persist(vm);
    default:
      *known = false;
      return VC_OK;
  }
}

static vc_status run_frame(vc_pickle_machine *vm, int opcode, bool *known) {
  uint64_t number = 0;
  vc_status status = VC_OK;
  if (opcode == OP_PROTO) {
    status = take_number(vm, 1, &number);
    if (!status && (number < MIN_PROTOCOL || number > MAX_PROTOCOL))
      status = VC_PICKLE_FAIL(vm, "has protocol %d; %d to %d are known", (int)number, MIN_PROTOCOL, MAX_PROTOCOL);
  } else if (opcode == OP_FRAME) {
    status = take_number(vm, 8, &number);
    if (!status && number > vm->size - vm->at) status = VC_PICKLE_FAIL(vm, "is cut short");
  } else {
    *known = false;
  }
  return status;
}

// Runs up to STOP, whose value stays alone on the stack.
static vc_status run(vc_pickle_machine *vm) {
  static vc_status (*const families[])(vc_pickle_machine *, int, bool *) = {run_constant, run_memo, run_container,
                                                                            run_call, run_frame};
  if (!vm->size || vm->data[0] != OP_PROTO) return VC_PICKLE_FAIL(vm, "does not begin with its protocol");
  for (;;) {
    vm->opcode_at = vm->at;
    if (vm->at == vm->size) return VC_PICKLE_FAIL(vm, "is cut short");
    int opcode = vm->data[vm->at++];
    bool known = false;
    vc_status status = VC_OK;
    if (opcode == OP_STOP) {
      status = vc_pickle_need(vm, 1);
      if (!status && (vm->stack.count != 1 || vm->marks)) status = VC_PICKLE_FAIL(vm, "leaves more than one value");
      return status;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families && !known; i++) {
      known = true;
      status = families[i](vm, opcode, &known);
    }
    if (!known) return VC_PICKLE_FAIL(vm, "uses opcode 0x%02x, which is not supported", (unsigned)opcode);
    if (status) return status;
  }
}

typedef struct pickle_state {
  vc_pickle_chunk *chunks;
  vc_pickle_value **persistent;
} pickle_state;

vc_status vc_pickle_read(vc_pickle *out, const char *name, const void *data, size_t size, const vc_pickle_name *calls,
                         vc_error *error) {
  vc_pickle_machine vm = {.name = name, .data = data, .calls = calls, .error = error};
  *out = (vc_pickle){0};
  vm.size = size < VC_PICKLE_MAX ? size : VC_PICKLE_MAX;
  pickle_state *state = calloc(1, sizeof *state);
  vc_status status = state ? run(&vm) : vc_pickle_no_memory(&vm);
  if (!status) {
    *state = (pickle_state){vm.chunks, vm.persistent.item};
    *out = (vc_pickle){.root = vc_pickle_top(&vm),
                       .persistent = (const vc_pickle_value *const *)vm.persistent.item,
                       .persistent_count = vm.persistent.count,
                       .used = vm.at,
                       .internal = state};
  } else {
    free(vm.persistent.item);
    vc_pickle_free_values(vm.chunks);
    free(state);
  }
  vc_pickle_free_machine(&vm);
  return status;
}

void vc_pickle_close(vc_pickle *pickle) {
  pickle_state *state = pickle->internal;
  if (state) {
    vc_pickle_free_values(state->chunks);
    free(state->persistent);
    free(state);
  }
  *pickle = (vc_pickle){0};
}

bool vc_pickle_is_text(const vc_pickle_value *value, const char *text) {
  size_t length = strlen(text);
  return value->kind == VC_PICKLE_TEXT && value->count == length && !memcmp(value->text, text, length);
}

bool vc_pickle_is_global(const vc_pickle_value *value, const char *module, const char *name) {
  return value->kind == VC_PICKLE_GLOBAL && vc_pickle_is_text(value->item[0], module) &&
         vc_pickle_is_text(value->item[1], name);
}

const vc_pickle_value *vc_pickle_get(const vc_pickle_value *dict, const char *key) {
  for (uint32_t i = dict->count; i > 0; i -= 2)
    if (vc_pickle_is_text(dict->item[i - 2], key)) return dict->item[i - 1];
  return NULL;
}
