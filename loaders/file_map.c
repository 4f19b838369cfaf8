#include "loaders/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

vc_status vc_file_map_open(vc_file_map *out, const char *path, vc_error *error) {
  vc_status status = VC_OK;
  struct stat info;
  void *data = NULL;

  *out = (vc_file_map){0};
  // O_NONBLOCK: opening a FIFO must not wait for its writer, only to be refused afterwards.
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &info)) {
    status = vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
    goto done;
  }
  if (!S_ISREG(info.st_mode)) {
    status = vc_fail(error, VC_FAILED, "%s: is %s, not a file", path, S_ISDIR(info.st_mode) ? "a folder" : "a device");
    goto done;
  }
  if ((uint64_t)info.st_size > SIZE_MAX / 2) {
    status = vc_fail(error, VC_FAILED, "%s: is too large for this machine's address space", path);
    goto done;
  }
  if (info.st_size) {
    data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = vc_fail(error, VC_FAILED, "%s: cannot be mapped into memory: %s", path, strerror(errno));
      goto done;
    }
  }
  *out = (vc_file_map){data, (size_t)info.st_size};

done:
  if (fd >= 0) close(fd);
  return status;
}

void vc_file_map_close(vc_file_map *map) {
  if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
  *map = (vc_file_map){0};
}

// The system maps this much around a page that is touched, as far as it has it: whoever drops less keeps the edges.
enum { AROUND = 65536, PAGE = 4096 };

static bool lies_in(const vc_file_map *map, const void *data, size_t size) {
  uintptr_t base = (uintptr_t)map->data, first = (uintptr_t)data;
  return map->data && size && first >= base && first - base <= map->size && size <= map->size - (first - base);
}

// False when the system does not know the advice.
static bool advise(const vc_file_map *map, const void *data, size_t size, int advice) {
  if (!lies_in(map, data, size)) return true;
  // Maps begin at a page, which is at most AROUND long.
  size_t from = (size_t)((const unsigned char *)data - map->data) / AROUND * AROUND;
  size_t to = (size_t)((const unsigned char *)data - map->data) + size;
  to = to < map->size - map->size % AROUND ? (to + AROUND - 1) / AROUND * AROUND : map->size;
  return !madvise((void *)(uintptr_t)(map->data + from), to - from, advice) || errno != EINVAL;
}

void vc_file_map_will_need(const vc_file_map *map, const void *data, size_t size) {
  advise(map, data, size, MADV_WILLNEED);
}

// What fails here is left to whoever reads the bytes.
void vc_file_map_fetch(const vc_file_map *map, const void *data, size_t size) {
#ifdef MADV_POPULATE_READ  // Linux 5.14; maps what is there already without a page fault each
  if (advise(map, data, size, MADV_POPULATE_READ)) return;
#endif
  if (!lies_in(map, data, size)) return;
  const volatile unsigned char *bytes = data;
  for (size_t at = 0; at < size; at += PAGE) (void)bytes[at];
}

void vc_file_map_drop(const vc_file_map *map, const void *data, size_t size) {
  advise(map, data, size, MADV_DONTNEED);
}
