// Reading the fields of a JSON object into a struct by a table, with every number checked.
#ifndef VC_ENGINE_JSON_FIELDS_H
#define VC_ENGINE_JSON_FIELDS_H

#include <stdint.h>

#include "engine/status.h"

struct cJSON;

typedef enum vc_json_kind {
  VC_JSON_INT,   // int64_t
  VC_JSON_REAL,  // double
  VC_JSON_BOOL,  // bool
  VC_JSON_TEXT,  // char[capacity]
} vc_json_kind;

// One field of an object and where it goes. A field that is missing or null leaves its place as it is.
typedef struct vc_json_field {
  const char *name;
  vc_json_kind kind;
  size_t at;           // offset of the value, or of the first of a list
  int capacity;        // INT, REAL: 0 for one value, else the most elements of a list; TEXT: bytes of the array
  size_t count_at;     // of a list: offset of an int that gets its length; 0: the list must be `capacity` long
  double least, most;  // of INT and REAL, both included
  bool required;
} vc_json_field;

// VC_FAILED in one line: "<what>: <field> is <value>, and must be <what is allowed>". Fields that the table does not
// know are ignored. `object` must be a JSON object.
vc_status vc_json_read(const struct cJSON *object, const char *what, const vc_json_field *fields, int count, void *out,
                       vc_error *error);

// The ranges of the numbers in a struct that no JSON has been read into, in the same words.
vc_status vc_json_check(const char *what, const vc_json_field *fields, int count, const void *base, vc_error *error);

// Parses a text that must be one JSON object; the caller deletes it with cJSON_Delete.
vc_status vc_json_parse(struct cJSON **out, const char *text, const char *what, vc_error *error);

#endif
