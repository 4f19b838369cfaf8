// Text that travels inside pictures and videos: key and value pairs, such as the command that made them.
//
// PNG holds each pair as a text chunk of its own. GIF (comment block) and MP4 (comment tag) hold one text, and WebP an
// XMP packet whose dc:description is one: there the pairs are a JSON object of strings.
#ifndef VC_LOADERS_MEDIA_METADATA_H
#define VC_LOADERS_MEDIA_METADATA_H

#include "loaders/tensor_file.h"

// Owned pairs, in file order. {0} is empty.
typedef struct vc_metadata {
  int count;
  vc_metadata_entry *entry;
} vc_metadata;

void vc_metadata_free(vc_metadata *metadata);

// NULL when there is none of that key.
const char *vc_metadata_find(const vc_metadata *metadata, const char *key);

// Copies both; `length` bytes of value.
vc_status vc_metadata_add(vc_metadata *metadata, const char *key, const char *value, size_t length, vc_error *error);

// Reads back what vc_media_write wrote into a .gif, .mp4, .webp or .png file or a folder (its first picture), by
// content and not by suffix. A text of other origin is one entry of key "comment"; *out is empty (and the result VC_OK)
// for a file without any. VC_FAILED for files that cannot be read or are none of these.
vc_status vc_media_read_metadata(vc_metadata *out, const char *path, vc_error *error);

// The single texts. Results are malloc'ed.
vc_status vc_metadata_to_json(char **out, const vc_metadata_entry *entry, int count, vc_error *error);
vc_status vc_metadata_from_text(vc_metadata *out, const char *text, size_t length, vc_error *error);
vc_status vc_metadata_to_xmp(char **out, const char *text, vc_error *error);
vc_status vc_metadata_from_xmp(vc_metadata *out, const char *xmp, size_t length, vc_error *error);

#endif
