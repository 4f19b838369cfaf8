#include "bench/load.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/network_graphs.h"

enum {
  READ_BYTES = 8 << 20,
  COPY_BYTES = 256 << 20,  // beyond any cache
  COPY_RUNS = 3,
  MAX_THREADS = 256,
  HUGE_PAGE = 2 << 20
};

// ---- disk

// Writes back what is not on the disk yet and drops the file from the system's cache.
static vc_status forget_file(const char *path, vc_error *error) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  int problem = fsync(fd) ? errno : posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  return problem ? vc_fail(error, VC_FAILED, "%s: cannot be dropped from the cache: %s", path, strerror(problem))
                 : VC_OK;
}

// The share of the file that is in the cache.
static double cached_share(const char *path, size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page, here = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  void *map = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
  unsigned char *flag = malloc(pages + 1);
  if (map != MAP_FAILED && flag && !mincore(map, size, flag))
    for (size_t i = 0; i < pages; i++) here += flag[i] & 1;
  free(flag);
  if (map != MAP_FAILED) munmap(map, size);
  if (fd >= 0) close(fd);
  return pages ? (double)here / (double)pages : 0;
}

static vc_status measure_disk(vc_load_result *r, double *seconds, vc_error *error) {
  vc_status status = forget_file(r->path, error);
  if (status) return status;
  if (cached_share(r->path, (size_t)r->file_bytes) > 0.1)
    return vc_fail(error, VC_UNSUPPORTED,
                   "%s: the system keeps it in memory, so that loading from disk cannot be timed", r->path);
  char *buffer = malloc(READ_BYTES);
  int fd = open(r->path, O_RDONLY | O_CLOEXEC);
  ssize_t got = -1;
  double start = vc_clock_now();
  if (buffer && fd >= 0) {
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    while ((got = read(fd, buffer, READ_BYTES)) > 0) {
    }
  }
  *seconds = vc_clock_now() - start;
  if (fd >= 0) close(fd);
  free(buffer);
  return got ? vc_fail(error, VC_FAILED, "%s: cannot be read: %s", r->path, strerror(errno)) : VC_OK;
}

// ---- memory

typedef struct copy_part {
  pthread_t thread;
  char *to;
  const char *from;
  size_t size;
} copy_part;

static void *copy_main(void *argument) {
  copy_part *part = argument;
  for (size_t at = 0; at < part->size; at += COPY_BYTES)
    memcpy(part->to + at, part->from, part->size - at < COPY_BYTES ? part->size - at : COPY_BYTES);
  return NULL;
}

// Copies a block into `size` bytes, once or again and again, by all threads. Speed in bytes a second.
static double copy_speed(char *to, size_t size, const char *from, int threads) {
  copy_part part[MAX_THREADS];
  int started = 0;
  size_t each = size / (size_t)threads;
  double start = vc_clock_now();
  for (int i = 0; i < threads; i++) {
    part[i] = (copy_part){.to = to + (size_t)i * each, .from = from, .size = each};
    if (pthread_create(&part[i].thread, NULL, copy_main, &part[i])) break;
    started++;
  }
  for (int i = started; i < threads; i++) copy_main(&part[i]);
  for (int i = 0; i < started; i++) pthread_join(part[i].thread, NULL);
  return (double)(each * (size_t)threads) / (vc_clock_now() - start);
}

// Into memory that the process has just got, as the backend gets it: as much of it as the weights take, since what a
// system gives first may be faster or slower than the rest.
static vc_status measure_fresh(vc_load_result *r, int threads, double *seconds, vc_error *error) {
  size_t size = ((size_t)r->weight_bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  char *from = malloc(COPY_BYTES), *to = aligned_alloc(HUGE_PAGE, size);
  vc_status status = from && to ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory to measure copying with");
  if (!status) {
    memset(from, 1, COPY_BYTES);
    madvise(to, size, MADV_HUGEPAGE);
    *seconds = r->weight_bytes / copy_speed(to, size, from, threads);
  }
  free(from);
  free(to);
  return status;
}

static vc_status measure_copy(vc_load_result *r, int threads, vc_error *error) {
  size_t size = (size_t)COPY_BYTES * (size_t)threads;
  char *from = malloc(COPY_BYTES), *to = malloc(size);
  vc_status status = from && to ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory to measure copying with");
  if (!status) {
    memset(from, 1, COPY_BYTES);
    memset(to, 1, size);
    for (int i = 0; i < COPY_RUNS; i++) {
      double speed = copy_speed(to, size, from, threads);
      if (speed > r->copy_speed) r->copy_speed = speed;
    }
  }
  free(from);
  free(to);
  return status;
}

// ---- loading

// The system's count of the largest memory of the process starts anew.
static void reset_peak(void) {
  FILE *file = fopen("/proc/self/clear_refs", "w");
  if (!file) return;
  fputs("5", file);
  fclose(file);
}

static double peak_bytes(void) {
  char line[256];
  unsigned long long kilobytes = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1) break;
  if (file) fclose(file);
  return (double)kilobytes * 1024;
}

// As a run does it: open the folder, describe the network, load.
static vc_status load_once(vc_load_result *r, const vc_load_options *o, double *seconds,
                           bool (*cancelled)(void *opaque), vc_error *error) {
  vc_model model = {0};
  vc_network_graphs graphs = {.count = 0};
  vc_model_source source;
  vc_weights weights;
  vc_device *device = NULL;
  vc_parameters *parameters = NULL;
  reset_peak();
  double start = vc_clock_now();
  vc_status status = vc_model_open(&model, o->folder, NULL, error);
  if (status) return status;
  status = vc_model_weights(&model, o->network, &source, &weights, error);
  if (!status) status = vc_network_graphs_new(&graphs, o->network, &model.config, error);
  if (!status) status = vc_cpu_open(&device, o->threads, error);
  if (!status) status = vc_parameters_new(&parameters, &vc_backend_cpu, device, VC_F32, error);
  for (int i = 0; i < graphs.count && !status; i++)
    status = vc_parameters_load(parameters, graphs.graph[i], &weights, cancelled, NULL, error);
  *seconds = vc_clock_now() - start;
  if (!status) r->weight_bytes = (double)vc_parameters_bytes(parameters);
  r->peak_bytes = fmax(r->peak_bytes, peak_bytes());
  vc_parameters_free(parameters);
  if (device) vc_backend_cpu.close(device);
  vc_network_graphs_free(&graphs);
  vc_model_close(&model);
  return status;
}

static vc_status find_file(vc_load_result *r, const vc_load_options *o, vc_error *error) {
  vc_model model;
  vc_model_source source;
  vc_weights weights;
  struct stat s;
  vc_status status = vc_model_open(&model, o->folder, NULL, error);
  if (status) return status;
  status = vc_model_weights(&model, o->network, &source, &weights, error);
  *r = (vc_load_result){.network = vc_network_name(o->network)};
  if (!status) snprintf(r->path, sizeof r->path, "%s", model.file[o->network].path);
  vc_model_close(&model);
  if (status) return status;
  if (stat(r->path, &s)) return vc_fail(error, VC_FAILED, "%s: %s", r->path, strerror(errno));
  r->file_bytes = (double)s.st_size;
  return VC_OK;
}

// Everything once: reading, loading from the disk, copying, loading from the cache.
static vc_status run_once(vc_load_result *r, const vc_load_options *o, int threads, double seconds[4],
                          bool (*cancelled)(void *opaque), vc_error *error) {
  vc_status status = measure_disk(r, &seconds[0], error);
  if (!status) status = forget_file(r->path, error);
  if (!status) status = load_once(r, o, &seconds[1], cancelled, error);
  if (!status) status = measure_fresh(r, threads, &seconds[2], error);
  return status ? status : load_once(r, o, &seconds[3], cancelled, error);
}

vc_status vc_load_measure(vc_load_result *out, const vc_load_options *o, bool (*cancelled)(void *opaque),
                          vc_error *error) {
  vc_samples samples[6] = {{.count = 0}};  // as the timings below
  int threads = o->threads > 0 ? o->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  vc_status status = find_file(out, o, error);
  if (!status) status = measure_copy(out, threads, error);
  for (int i = 0; i < o->runs && !status; i++) {
    double seconds[4] = {0};
    status = run_once(out, o, threads, seconds, cancelled, error);
    for (int k = 0; k < 4; k++) vc_samples_add(&samples[k], seconds[k]);
    vc_samples_add(&samples[4], seconds[0] / seconds[1]);
    vc_samples_add(&samples[5], seconds[2] / seconds[3] * (out->file_bytes / out->weight_bytes + 1) / 2);
  }
  vc_timing *const timings[] = {&out->read_seconds, &out->cold_seconds, &out->fresh_seconds,
                                &out->warm_seconds, &out->cold_share,   &out->warm_share};
  for (int k = 0; k < 6; k++) *timings[k] = vc_samples_timing(&samples[k]);
  return status;
}

// ---- printing

static void print_share(FILE *out, const char *name, const vc_timing *seconds, const vc_timing *share, double speed,
                        const char *what) {
  fprintf(out, "  %s  %7.3f s, %5.1f %% (%.1f to %.1f in %d runs) of %s, %.1f MB/s\n", name, seconds->median,
          100 * share->median, 100 * share->least, 100 * share->most, share->runs, what, speed * 1e-6);
}

void vc_load_print(FILE *out, const vc_load_result *r) {
  fprintf(out, "%s  %s, %.1f MiB, %.1f MiB as used\n", r->network, r->path, r->file_bytes / 1048576,
          r->weight_bytes / 1048576);
  print_share(out, "cold", &r->cold_seconds, &r->cold_share, r->file_bytes / r->read_seconds.median,
              "reading the file");
  print_share(out, "warm", &r->warm_seconds, &r->warm_share, r->weight_bytes / r->fresh_seconds.median,
              "a copy into new memory");
  fprintf(out, "  a copy between memory in use: %.1f MB/s\n", r->copy_speed * 1e-6);
  fprintf(out, "  peak  %.1f MiB: the weights as used and %.1f MiB\n", r->peak_bytes / 1048576,
          (r->peak_bytes - r->weight_bytes) / 1048576);
}

static void add_share(cJSON *item, const char *name, const vc_timing *share) {
  cJSON *values = cJSON_AddObjectToObject(item, name);
  cJSON_AddNumberToObject(values, "median", share->median);
  cJSON_AddNumberToObject(values, "least", share->least);
  cJSON_AddNumberToObject(values, "most", share->most);
  cJSON_AddNumberToObject(values, "runs", share->runs);
}

vc_status vc_load_print_json(FILE *out, const vc_load_result *results, int count, vc_error *error) {
  cJSON *root = cJSON_CreateArray();
  for (int i = 0; i < count; i++) {
    const vc_load_result *r = &results[i];
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "network", r->network);
    cJSON_AddNumberToObject(item, "file_bytes", r->file_bytes);
    cJSON_AddNumberToObject(item, "weight_bytes", r->weight_bytes);
    cJSON_AddNumberToObject(item, "disk_bytes_per_second", r->file_bytes / r->read_seconds.median);
    cJSON_AddNumberToObject(item, "copy_bytes_per_second", r->copy_speed);
    cJSON_AddNumberToObject(item, "fresh_copy_bytes_per_second", r->weight_bytes / r->fresh_seconds.median);
    cJSON_AddNumberToObject(item, "cold_seconds", r->cold_seconds.median);
    cJSON_AddNumberToObject(item, "warm_seconds", r->warm_seconds.median);
    add_share(item, "cold_share", &r->cold_share);
    add_share(item, "warm_share", &r->warm_share);
    cJSON_AddNumberToObject(item, "peak_bytes", r->peak_bytes);
    cJSON_AddItemToArray(root, item);
  }
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  fprintf(out, "%s\n", text);
  cJSON_free(text);
  return VC_OK;
}
