// Pairs to JSON and XMP and back, and where each kind of file keeps them.
#include "loaders/media_metadata.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <webp/demux.h>

#include "loaders/frames_build.h"
#include "loaders/gif.h"
#include "loaders/image_codecs.h"

static const size_t max_file_bytes = (size_t)1 << 30;
static const char xmp_head[] =
    "<?xpacket begin=\"\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
    "<rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">"
    "<dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">";
static const char xmp_tail[] =
    "</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>";

// ---- pairs

void vc_metadata_free(vc_metadata *metadata) {
  for (int i = 0; i < metadata->count; i++) {
    free(metadata->entry[i].key);
    free(metadata->entry[i].value);
  }
  free(metadata->entry);
  *metadata = (vc_metadata){0};
}

const char *vc_metadata_find(const vc_metadata *metadata, const char *key) {
  for (int i = 0; i < metadata->count; i++)
    if (!strcmp(metadata->entry[i].key, key)) return metadata->entry[i].value;
  return NULL;
}

vc_status vc_metadata_add(vc_metadata *metadata, const char *key, const char *value, size_t length, vc_error *error) {
  vc_metadata_entry *grown = realloc(metadata->entry, ((size_t)metadata->count + 1) * sizeof *grown);
  if (grown) metadata->entry = grown;
  char *key_copy = strdup(key), *value_copy = strndup(value, length);
  if (!grown || !key_copy || !value_copy) {
    free(key_copy);
    free(value_copy);
    return vc_fail(error, VC_NO_MEMORY, "no memory for metadata");
  }
  grown[metadata->count++] = (vc_metadata_entry){key_copy, value_copy};
  return VC_OK;
}

// ---- JSON

vc_status vc_metadata_to_json(char **out, const vc_metadata_entry *entry, int count, vc_error *error) {
  cJSON *object = cJSON_CreateObject();
  bool done = object;
  for (int i = 0; i < count && done; i++) done = cJSON_AddStringToObject(object, entry[i].key, entry[i].value);
  *out = done ? cJSON_PrintUnformatted(object) : NULL;
  cJSON_Delete(object);
  return *out ? VC_OK : vc_fail(error, VC_NO_MEMORY, "no memory for metadata");
}

static bool is_object_of_strings(const cJSON *json) {
  if (!cJSON_IsObject(json)) return false;
  const cJSON *item;
  cJSON_ArrayForEach(item, json) if (!cJSON_IsString(item)) return false;
  return true;
}

vc_status vc_metadata_from_text(vc_metadata *out, const char *text, size_t length, vc_error *error) {
  *out = (vc_metadata){0};
  if (!length) return VC_OK;
  vc_status status = VC_OK;
  cJSON *json = cJSON_ParseWithLength(text, length);
  if (is_object_of_strings(json)) {
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
      if (!status) status = vc_metadata_add(out, item->string, item->valuestring, strlen(item->valuestring), error);
    }
  } else {
    status = vc_metadata_add(out, "comment", text, length, error);
  }
  cJSON_Delete(json);
  if (status) vc_metadata_free(out);
  return status;
}

// ---- XMP

static const struct {
  char character;
  const char *entity;
} entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}};
enum { ENTITY_COUNT = sizeof entities / sizeof *entities };

vc_status vc_metadata_to_xmp(char **out, const char *text, vc_error *error) {
  vc_buffer xmp = {0};
  bool good = vc_buffer_append(&xmp, xmp_head, sizeof xmp_head - 1);
  for (; *text && good; text++) {
    const char *entity = NULL;
    for (int i = 0; i < ENTITY_COUNT; i++)
      if (*text == entities[i].character) entity = entities[i].entity;
    good = entity ? vc_buffer_append(&xmp, entity, strlen(entity)) : vc_buffer_append(&xmp, text, 1);
  }
  good = good && vc_buffer_append(&xmp, xmp_tail, sizeof xmp_tail);  // with its zero
  *out = (char *)xmp.data;
  if (good) return VC_OK;
  vc_buffer_free(&xmp);
  *out = NULL;
  return vc_fail(error, VC_NO_MEMORY, "no memory for metadata");
}

// In place; returns the new length. Entities that XML does not define stay as they are.
static size_t unescape(char *text, size_t length) {
  size_t to = 0;
  for (size_t from = 0; from < length;) {
    int found = -1;
    for (int i = 0; i < ENTITY_COUNT && found < 0; i++) {
      size_t size = strlen(entities[i].entity);
      if (length - from >= size && !memcmp(text + from, entities[i].entity, size)) found = i;
    }
    text[to++] = found < 0 ? text[from] : entities[found].character;
    from += found < 0 ? 1 : strlen(entities[found].entity);
  }
  return to;
}

static const char *find_text(const char *in, size_t length, const char *what) {
  return length ? memmem(in, length, what, strlen(what)) : NULL;
}

vc_status vc_metadata_from_xmp(vc_metadata *out, const char *xmp, size_t length, vc_error *error) {
  *out = (vc_metadata){0};
  const char *end = xmp + length, *at = find_text(xmp, length, "<dc:description");
  if (at) at = find_text(at, (size_t)(end - at), "<rdf:li");
  if (at) at = find_text(at, (size_t)(end - at), ">");
  const char *close = at ? find_text(at, (size_t)(end - at), "</rdf:li>") : NULL;
  if (!close) return VC_OK;
  char *text = strndup(at + 1, (size_t)(close - at - 1));
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for metadata");
  vc_status status = vc_metadata_from_text(out, text, unescape(text, strlen(text)), error);
  free(text);
  return status;
}

// ---- files

static vc_status from_webp(vc_metadata *out, const vc_buffer *file, vc_error *error) {
  WebPData data = {file->data, file->size};
  WebPDemuxer *demuxer = WebPDemux(&data);
  WebPChunkIterator chunk;
  if (!demuxer) return vc_fail(error, VC_FAILED, "a damaged or cut short WebP");
  vc_status status = VC_OK;
  if (WebPDemuxGetChunk(demuxer, "XMP ", 1, &chunk)) {
    status = vc_metadata_from_xmp(out, (const char *)chunk.chunk.bytes, chunk.chunk.size, error);
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  WebPDemuxDelete(demuxer);
  return status;
}

static vc_status from_gif(vc_metadata *out, const vc_buffer *file, vc_error *error) {
  vc_buffer comment = {0};
  vc_status status = vc_gif_comment(&comment, file->data, file->size, error);
  if (!status) status = vc_metadata_from_text(out, (const char *)comment.data, comment.size, error);
  vc_buffer_free(&comment);
  return status;
}

static vc_status from_video(vc_metadata *out, const char *path, vc_error *error) {
  vc_buffer comment = {0};
  vc_status status = vc_video_comment(&comment, path, error);
  if (!status) status = vc_metadata_from_text(out, (const char *)comment.data, comment.size, error);
  vc_buffer_free(&comment);
  return status;
}

static vc_status from_file(vc_metadata *out, const char *path, vc_error *error) {
  vc_buffer file;
  vc_status status = vc_buffer_read_file(&file, path, max_file_bytes, error);
  if (status) return status;
  bool named = false;
  switch (vc_image_recognise(file.data, file.size)) {
    case VC_IMAGE_PNG:
      status = vc_png_text(out, file.data, file.size, error);
      break;
    case VC_IMAGE_WEBP:
      status = from_webp(out, &file, error);
      break;
    case VC_IMAGE_JPEG:
      break;  // we write none, and look for none
    case VC_IMAGE_UNKNOWN:
      named = file.size < 4 || memcmp(file.data, "GIF8", 4);
      status = named ? from_video(out, path, error) : from_gif(out, &file, error);
  }
  vc_buffer_free(&file);
  return status && !named ? vc_fail_in(error, status, "%s", path) : status;
}

vc_status vc_media_read_metadata(vc_metadata *out, const char *path, vc_error *error) {
  *out = (vc_metadata){0};
  struct stat about;
  if (stat(path, &about)) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  vc_status status = VC_OK;
  char *first = NULL;
  if (S_ISDIR(about.st_mode)) {
    status = vc_folder_first_picture(&first, path, error);
    path = first;
  }
  if (!status) status = from_file(out, path, error);
  free(first);
  if (status) vc_metadata_free(out);
  return status;
}
