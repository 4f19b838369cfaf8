// Command-line options from a table: parsing, checking and the text of --help.
#ifndef VC_CLI_OPTIONS_H
#define VC_CLI_OPTIONS_H

#include <stdio.h>

#include "cli/values.h"

// The field of the values struct that goes with a kind stands behind it.
typedef enum vc_option_kind {
  VC_OPTION_HEADING,  // none: begins a group in --help; `help` is its title
  VC_OPTION_FLAG,     // bool, set when the option is given
  VC_OPTION_STRING,   // const char *
  VC_OPTION_LIST,     // vc_string_list: the option may be given several times
  VC_OPTION_INT,      // int
  VC_OPTION_UINT64,   // uint64_t
  VC_OPTION_FLOAT,    // double, never NaN or infinite
  VC_OPTION_BYTES,    // uint64_t: a number, with a suffix K, M, G or T (powers of 1024) if wanted; at least 1
  VC_OPTION_SIZE,     // vc_size: WIDTHxHEIGHT, both within min and max
  VC_OPTION_CHOICE,   // int: the index into `choices`
} vc_option_kind;

enum { VC_LIST_MAX = 64, VC_OPTION_MAX = 96 };

typedef struct vc_string_list {
  int count;
  const char *item[VC_LIST_MAX];
} vc_string_list;

// One option. Tables are static const arrays of these with designated initialisers.
typedef struct vc_option {
  const char *name;  // long name without dashes
  char letter;       // short name; 0 when there is none
  vc_option_kind kind;
  size_t field;                // offsetof the values struct
  double min, max;             // INT, UINT64, FLOAT and SIZE; both 0 means any
  const char *const *choices;  // CHOICE: ends with NULL
  const char *value;           // how --help calls the value; NULL for the kind's usual name
  const char *fallback;        // the value without the option, written as a user would; NULL leaves the field as it is
  const char *help;            // what it does, without the default and the range: those are added
} vc_option;

typedef struct vc_command_spec {
  const char *name;                  // "compare"
  const char *summary;               // what it does, a sentence or more
  const char *arguments;             // what follows the options in the usage line: "A B"; NULL when nothing may
  int min_arguments, max_arguments;  // -1: any number
  const vc_option *options;
  int option_count;
  const char *example;  // command lines, one a line
  const char *notes;    // more text at the end of --help, wrapped by its author; NULL for none
} vc_command_spec;

// What the command line held beside the options' values.
typedef struct vc_arguments {
  int count;
  char **item;  // points into argv, which is reordered for it
  bool help;    // --help or -h was given: nothing else has been checked
  bool given[VC_OPTION_MAX];
} vc_arguments;

// Sets every field with a fallback, then reads argv[1..argc) and checks everything. Accepts --name VALUE, --name=VALUE,
// -n VALUE, -nVALUE and flag letters run together; of an option given twice, the last counts; what follows "--" are
// arguments. A value that is itself spelt like an option of this table must be attached: --name=VALUE.
// VC_INVALID names the option and what it takes, or the nearest one that exists. --help is no entry of the table.
vc_status vc_options_parse(const vc_command_spec *spec, int argc, char **argv, void *values, vc_arguments *out,
                           vc_error *error);

// Whether the option was on the command line. `name` must be one of the table (assert).
bool vc_option_given(const vc_command_spec *spec, const vc_arguments *arguments, const char *name);

// Prints --help of a subcommand, at most 100 columns wide.
void vc_options_help(const vc_command_spec *spec, FILE *out);

#endif
