// Output files and folders that appear whole or not at all: written beside their path under another name, then renamed.
#ifndef VC_LOADERS_OUTPUT_H
#define VC_LOADERS_OUTPUT_H

#include <stdio.h>

#include "engine/status.h"

typedef struct vc_output {
  FILE *file;       // to write to
  char *path;       // where it will be; links followed
  char *temporary;  // where it is until then; NULL when `path` is a device or a pipe, which is written directly
  int problem;      // errno of the first failed vc_output_write
} vc_output;

// Checks that `path` can be written (its folder exists, it is no folder itself, an existing file is writable) and opens
// a new file beside it. An existing file stays as it is until the commit, and passes its permissions on. VC_FAILED
// names the path and why. On failure *out is zeroed and needs no abort.
vc_status vc_output_open(vc_output *out, const char *path, vc_error *error);

// fwrite with a message. Direct use of `file` is fine too: its error flag counts.
vc_status vc_output_write(vc_output *out, const void *data, size_t size, vc_error *error);

// Closes and renames. A failure, an earlier failed write included (disk full), removes what was written, leaves an
// existing file untouched and names the path. *out is zeroed either way.
vc_status vc_output_commit(vc_output *out, vc_error *error);

// Closes and removes. Does nothing on a zeroed struct, so also after a commit.
void vc_output_abort(vc_output *out);

typedef struct vc_output_folder {
  char *path;       // where it will be; links followed
  char *temporary;  // where it is until then
} vc_output_folder;

// Makes a new folder beside `path`. What lies at `path` may be nothing, an empty folder, or an earlier output: a folder
// that holds only files named by a number and ".png", which the commit replaces. Anything else is refused (VC_FAILED).
vc_status vc_output_folder_open(vc_output_folder *out, const char *path, vc_error *error);

// Opens a file of the folder, to be written and then closed by vc_output_commit or vc_output_abort as ever.
vc_status vc_output_folder_file(vc_output *out, const vc_output_folder *folder, const char *name, vc_error *error);

// As for files: all or nothing, and zeroed either way.
vc_status vc_output_folder_commit(vc_output_folder *out, vc_error *error);
void vc_output_folder_abort(vc_output_folder *out);

#endif
