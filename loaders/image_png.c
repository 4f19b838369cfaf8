// PNG through libpng, in both directions.
//
// libpng reports errors by longjmp. All that must survive one lives in a struct of the caller; the function that calls
// setjmp touches nothing but that struct, so no local of its frame can be lost.
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/image_codecs.h"

// No ancillary chunk of a picture that we read is worth more memory than this.
enum { CHUNK_LIMIT = 8 << 20 };

typedef struct png_job {
  png_structp png;
  png_infop info, end;
  vc_error *error;
  vc_status status;
  const uint8_t *data;  // reading
  size_t size, at;
  vc_image image;
  png_bytepp rows;
  png_bytep row;
  vc_buffer *out;  // writing
  png_textp text;
  int text_count;
} png_job;

static void on_error(png_structp png, png_const_charp message) {
  png_job *job = png_get_error_ptr(png);
  if (!job->status && job->out)
    job->status = vc_fail(job->error, VC_FAILED, "libpng could not write the picture: %s", message);
  else if (!job->status)
    job->status = vc_fail(job->error, VC_FAILED, "corrupt PNG near byte %zu: %s", job->at, message);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

static void read_bytes(png_structp png, png_bytep to, size_t count) {
  png_job *job = png_get_io_ptr(png);
  if (count > job->size - job->at) {
    job->status = vc_fail(job->error, VC_FAILED, "the PNG ends too early, after %zu bytes", job->size);
    png_error(png, "cut short");
  }
  memcpy(to, job->data + job->at, count);
  job->at += count;
}

// Whatever the file holds becomes 8-bit RGB. Of 16 bits the low byte is dropped and alpha is stripped, as Pillow does.
static void ask_for_rgb(png_job *job) {
  png_set_expand(job->png);
  png_set_strip_16(job->png);
  png_set_strip_alpha(job->png);
  png_set_gray_to_rgb(job->png);
  png_set_interlace_handling(job->png);
  png_read_update_info(job->png, job->info);
}

static void set_up_reading(png_job *job) {
  png_set_read_fn(job->png, job, read_bytes);
  png_set_user_limits(job->png, 0x7fffffff, 0x7fffffff);  // ours are checked later, with a better message
  png_set_chunk_malloc_max(job->png, CHUNK_LIMIT);
  png_set_crc_action(job->png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
}

// Called under the setjmp of its caller, as all that follows here.
static void read_header(png_job *job) {
  png_read_info(job->png, job->info);
  png_uint_32 width = png_get_image_width(job->png, job->info), height = png_get_image_height(job->png, job->info);
  if (!vc_image_size_ok(width, height)) {
    job->status = vc_image_too_large(width, height, job->error);
    return;
  }
  // Deflate cannot shrink by more than 1032: a file that is smaller than that was cut, and needs no memory.
  if ((size_t)height * png_get_rowbytes(job->png, job->info) / 1040 > job->size) {
    job->status = vc_fail(job->error, VC_FAILED, "the PNG ends too early: %zu bytes cannot hold %u x %u pixels",
                          job->size, width, height);
    return;
  }
}

static void read_picture(png_job *job) {
  if (setjmp(png_jmpbuf(job->png))) {
    if (!job->status) job->status = vc_fail(job->error, VC_FAILED, "corrupt PNG near byte %zu", job->at);
    return;
  }
  set_up_reading(job);
  read_header(job);
  if (job->status) return;
  png_uint_32 width = png_get_image_width(job->png, job->info), height = png_get_image_height(job->png, job->info);
  ask_for_rgb(job);
  if (png_get_rowbytes(job->png, job->info) != (size_t)width * 3) png_error(job->png, "unexpected layout");
  job->status = vc_image_new(&job->image, (int)width, (int)height, job->error);
  if (job->status) return;
  job->rows = malloc(height * sizeof *job->rows);
  if (!job->rows) {
    job->status = vc_fail(job->error, VC_NO_MEMORY, "no memory for the rows of a picture");
    return;
  }
  for (png_uint_32 y = 0; y < height; y++) job->rows[y] = job->image.rgb + (size_t)y * width * 3;
  png_read_image(job->png, job->rows);
  png_read_end(job->png, NULL);
}

vc_status vc_png_decode(vc_image *out, const uint8_t *data, size_t size, vc_error *error) {
  png_job job = {.error = error, .data = data, .size = size};
  job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
  if (job.png) job.info = png_create_info_struct(job.png);
  if (job.info)
    read_picture(&job);
  else
    job.status = vc_fail(error, VC_NO_MEMORY, "no memory to read a PNG");
  if (job.png) png_destroy_read_struct(&job.png, &job.info, NULL);
  free(job.rows);
  if (job.status) vc_image_free(&job.image);
  *out = job.image;
  return job.status;
}

static vc_status keep_text(vc_metadata *out, png_job *job, png_infop from) {
  png_textp text = NULL;
  int count = 0;
  png_get_text(job->png, from, &text, &count);
  vc_status status = VC_OK;
  for (int i = 0; i < count && !status; i++) {
    bool international = text[i].compression > PNG_TEXT_COMPRESSION_zTXt;
    status = vc_metadata_add(out, text[i].key, text[i].text, international ? text[i].itxt_length : text[i].text_length,
                             job->error);
  }
  return status;
}

static void read_text(png_job *job, vc_metadata *out) {
  if (setjmp(png_jmpbuf(job->png))) {
    if (!job->status) job->status = vc_fail(job->error, VC_FAILED, "corrupt PNG near byte %zu", job->at);
    return;
  }
  set_up_reading(job);
  read_header(job);
  if (!job->status) job->status = keep_text(out, job, job->info);
  if (job->status) return;
  int passes = png_set_interlace_handling(job->png);
  png_read_update_info(job->png, job->info);
  job->row = malloc(png_get_rowbytes(job->png, job->info));
  if (!job->row) {
    job->status = vc_fail(job->error, VC_NO_MEMORY, "no memory for a row of a picture");
    return;
  }
  png_uint_32 rows = png_get_image_height(job->png, job->info) * (png_uint_32)passes;
  for (png_uint_32 i = 0; i < rows; i++) png_read_row(job->png, job->row, NULL);
  png_read_end(job->png, job->end);
  job->status = keep_text(out, job, job->end);
}

vc_status vc_png_text(vc_metadata *out, const uint8_t *data, size_t size, vc_error *error) {
  png_job job = {.error = error, .data = data, .size = size};
  job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
  if (job.png) job.info = png_create_info_struct(job.png);
  if (job.info) job.end = png_create_info_struct(job.png);
  if (job.end)
    read_text(&job, out);
  else
    job.status = vc_fail(error, VC_NO_MEMORY, "no memory to read a PNG");
  if (job.png) png_destroy_read_struct(&job.png, &job.info, &job.end);
  free(job.row);
  return job.status;
}

// ---- writing

static void write_bytes(png_structp png, png_bytep data, size_t size) {
  png_job *job = png_get_io_ptr(png);
  if (!vc_buffer_append(job->out, data, size)) {
    job->status = vc_fail(job->error, VC_NO_MEMORY, "no memory for a PNG of %zu bytes", job->out->size + size);
    png_error(png, "no memory");
  }
}

static void flush_nothing(png_structp png) {
  (void)png;
}

static void write_picture(png_job *job) {
  if (setjmp(png_jmpbuf(job->png))) {
    if (!job->status) job->status = vc_fail(job->error, VC_FAILED, "libpng could not write the picture");
    return;
  }
  png_set_write_fn(job->png, job, write_bytes, flush_nothing);
  png_set_IHDR(job->png, job->info, (png_uint_32)job->image.width, (png_uint_32)job->image.height, 8,
               PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(job->png, 3);  // 6, the default, takes over twice as long and saves 4 % of the bytes
  if (job->text_count) png_set_text(job->png, job->info, job->text, job->text_count);
  png_write_info(job->png, job->info);
  for (int y = 0; y < job->image.height; y++)
    png_write_row(job->png, job->image.rgb + (size_t)y * (size_t)job->image.width * 3);
  png_write_end(job->png, job->info);
}

// The rules of the PNG specification (11.3.4.2): 1 to 79 printable Latin-1 bytes, no blank at an end, no two in a row.
static bool key_ok(const char *key) {
  size_t length = strlen(key);
  if (length < 1 || length > 79 || key[0] == ' ' || key[length - 1] == ' ' || strstr(key, "  ")) return false;
  for (const unsigned char *c = (const unsigned char *)key; *c; c++)
    if (*c < 32 || (*c > 126 && *c < 161)) return false;
  return true;
}

static vc_status fill_text(png_job *job, const vc_metadata_entry *text, int count, vc_error *error) {
  if (count <= 0) return VC_OK;
  job->text = calloc((size_t)count, sizeof *job->text);
  if (!job->text) return vc_fail(error, VC_NO_MEMORY, "no memory for %d text chunks", count);
  for (int i = 0; i < count; i++) {
    if (!key_ok(text[i].key))
      return vc_fail(error, VC_INVALID, "\"%s\" cannot name a PNG text chunk: use 1 to 79 printable characters",
                     text[i].key);
    bool ascii = true;
    for (const char *c = text[i].value; *c; c++) ascii = ascii && (unsigned char)*c < 128;
    job->text[i].compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    job->text[i].key = text[i].key;
    job->text[i].text = text[i].value;
  }
  job->text_count = count;
  return VC_OK;
}

vc_status vc_image_encode_png(vc_buffer *out, const vc_image *image, const vc_metadata_entry *text, int text_count,
                              vc_error *error) {
  if (!image->rgb || !vc_image_size_ok(image->width, image->height))
    return vc_fail(error, VC_INVALID, "a picture of %d x %d pixels cannot be written", image->width, image->height);
  png_job job = {.error = error, .image = *image, .out = out};
  job.status = fill_text(&job, text, text_count, error);
  if (!job.status) {
    job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    if (job.png) job.info = png_create_info_struct(job.png);
    if (job.info)
      write_picture(&job);
    else
      job.status = vc_fail(error, VC_NO_MEMORY, "no memory to write a PNG");
    if (job.png) png_destroy_write_struct(&job.png, &job.info);
  }
  free(job.text);
  return job.status;
}
