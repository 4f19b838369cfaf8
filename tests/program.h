// Runs the program as a user would, in a folder of its own.
#ifndef VC_TESTS_PROGRAM_H
#define VC_TESTS_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct program_result {
  int exit_status;  // 128 + n: signal n ended it
  char out[65536], err[16384];
} program_result;

// The folder in which everything runs; set by program_enter.
extern char program_folder[64];

// Makes a new folder and goes there; goes out and removes it.
void program_enter(void);
void program_leave(void);

// Runs `videocomposer ARGUMENTS`, the arguments as a shell reads them. The result is valid until the next run.
const program_result *program_run(const char *arguments);

// The same with a format, for paths that are made up.
const program_result *program_runf(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Fails the test unless the program ends with this status and, when that is not 0, says one line with `message`.
void program_expect(const char *arguments, int exit_status, const char *message);

// Starts it without waiting, its output going to the files "out" and "err".
pid_t program_start(const char *arguments);

// Entries of the folder, "out" and "err" of the runs left out.
int program_files(void);

bool program_exists(const char *path);

#endif
