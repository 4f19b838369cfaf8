// Command lines as text: words quoted so that a POSIX shell, or vc_shell_split, reads them back.
#ifndef VC_CLI_SHELL_H
#define VC_CLI_SHELL_H

#include "cli/options.h"
#include "loaders/buffer.h"

// Owned words. {0} is empty; item[count] is NULL once there is one.
typedef struct vc_words {
  int count;
  char **item;
} vc_words;

enum { VC_WORDS_MAX = 4096 };

vc_status vc_words_add(vc_words *words, const char *word, vc_error *error);
void vc_words_free(vc_words *words);

// Appends the words parted by spaces, quoted where a shell would change them, and a final 0.
vc_status vc_shell_join(vc_buffer *out, const vc_words *words, vc_error *error);

// Understands what vc_shell_join writes and what a person would: single and double quotes and backslashes. Nothing is
// expanded. VC_FAILED when a quote stays open. On failure *out is empty.
vc_status vc_shell_split(vc_words *out, const char *text, vc_error *error);

// Appends the options that were given, each as two words (--name, value), in the order of the table, from their values:
// what it comes to is what counts. `wanted` may be NULL: all.
vc_status vc_options_words(vc_words *out, const vc_command_spec *spec, const vc_arguments *arguments,
                           const void *values, bool (*wanted)(const char *name), vc_error *error);

#endif
