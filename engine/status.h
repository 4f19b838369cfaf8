// Status codes and error messages: how every fallible function of the project reports.
#ifndef VC_ENGINE_STATUS_H
#define VC_ENGINE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// 0 is success, everywhere.
typedef enum vc_status {
  VC_OK = 0,
  VC_FAILED = 1,       // the work failed: a file, a value or the machine is at fault
  VC_INVALID = 2,      // the request itself is wrong: an argument, an option, a combination
  VC_NO_MEMORY = 3,    // memory could not be had
  VC_UNSUPPORTED = 4,  // the backend has no implementation of what is asked
  VC_INTERRUPTED = 5,  // the caller asked to stop
} vc_status;

// The one line that goes with a status other than VC_OK. Owned by the caller; every fallible function takes one as
// its last parameter, and NULL means that the message is not wanted. It is written only on failure.
typedef struct vc_error {
  char message[1024];  // what, where (file, tensor, byte offset, op) and what to do; no newline at its end
} vc_error;

// Writes the message (control characters, as hostile file names may hold them, become '?') and returns `status`, so
// that a failing function can end in `return vc_fail(...)`.
vc_status vc_fail(vc_error *error, vc_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Puts "prefix: " in front of a message already written, and returns `status`.
vc_status vc_fail_in(vc_error *error, vc_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Products and sums of sizes that come from files: false when the result does not fit in size_t.
bool vc_mul_size(size_t a, size_t b, size_t *out);
bool vc_add_size(size_t a, size_t b, size_t *out);

#ifdef __cplusplus
}
#endif
#endif
