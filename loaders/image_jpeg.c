// JPEG through libjpeg-turbo: gray, YCbCr, RGB, CMYK and YCCK, baseline and progressive.
#include <setjmp.h>
#include <stdio.h>  // jpeglib.h needs it first
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>  // some of its codes depend on the configuration that jpeglib.h brings

#include "loaders/image_codecs.h"

// A progressive file may name any number of scans, each a pass over the whole picture; no encoder writes this many.
enum { SCAN_LIMIT = 200 };

// Everything that must survive a longjmp out of libjpeg; the function that calls setjmp touches nothing else.
typedef struct jpeg_job {
  struct jpeg_decompress_struct jpeg;  // first: the callbacks get at the job through it
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf jump;
  vc_error *error;
  vc_status status;
  const uint8_t *data;
  size_t size;
  vc_image image;
  uint8_t *row;  // one row of four components
} jpeg_job;

static _Noreturn void on_error(j_common_ptr common) {
  jpeg_job *job = (jpeg_job *)common;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  vc_status status = common->err->msg_code == JERR_OUT_OF_MEMORY ? VC_NO_MEMORY : VC_FAILED;
  if (!job->status) job->status = vc_fail(job->error, status, "corrupt JPEG: %s", text);
  longjmp(job->jump, 1);
}

// libjpeg goes on after damage, with gray blocks in the picture. Those warnings end the reading here; the harmless
// ones (odd markers, bytes between them) do not.
static void on_message(j_common_ptr common, int level) {
  jpeg_job *job = (jpeg_job *)common;
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_JPEG_EOF:
      job->status = vc_fail(job->error, VC_FAILED, "the JPEG ends too early, after %zu bytes", job->size);
      longjmp(job->jump, 1);
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      on_error(common);
    default:
      common->err->num_warnings++;
  }
}

static void on_progress(j_common_ptr common) {
  jpeg_job *job = (jpeg_job *)common;
  if (job->jpeg.input_scan_number <= SCAN_LIMIT) return;
  job->status = vc_fail(job->error, VC_FAILED, "the JPEG has more than %d scans: save it again", SCAN_LIMIT);
  longjmp(job->jump, 1);
}

// Adobe's inverted CMYK, whatever the file says, with Pillow's rounding of the product.
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, int width) {
  for (int x = 0; x < width; x++, rgb += 3, cmyk += 4)
    for (int c = 0; c < 3; c++) {
      int product = (255 - cmyk[c]) * cmyk[3] + 128;
      rgb[c] = (uint8_t)(cmyk[3] - (((product >> 8) + product) >> 8));
    }
}

static void read_rows(jpeg_job *job) {
  struct jpeg_decompress_struct *jpeg = &job->jpeg;
  size_t stride = (size_t)job->image.width * 3;
  while (jpeg->output_scanline < jpeg->output_height) {
    uint8_t *to = job->image.rgb + stride * jpeg->output_scanline;
    JSAMPROW row = job->row ? job->row : to;
    if (jpeg_read_scanlines(jpeg, &row, 1) == 1 && job->row) cmyk_to_rgb(to, job->row, job->image.width);
  }
}

// Huffman coding spends at least a bit on each 8x8 block: a file with fewer was cut, and needs no memory.
static bool can_hold_picture(const jpeg_job *job) {
  const struct jpeg_decompress_struct *jpeg = &job->jpeg;
  uint64_t blocks = 0;
  for (int i = 0; i < jpeg->num_components; i++) {
    const jpeg_component_info *c = &jpeg->comp_info[i];
    blocks += (uint64_t)jpeg->image_width * (unsigned)c->h_samp_factor / 8 / (unsigned)jpeg->max_h_samp_factor *
              ((uint64_t)jpeg->image_height * (unsigned)c->v_samp_factor / 8 / (unsigned)jpeg->max_v_samp_factor);
  }
  return jpeg->arith_code || blocks <= (uint64_t)job->size * 8;
}

static void read_picture(jpeg_job *job) {
  struct jpeg_decompress_struct *jpeg = &job->jpeg;
  if (setjmp(job->jump)) return;
  jpeg_create_decompress(jpeg);
  jpeg->progress = &job->progress;
  jpeg_mem_src(jpeg, job->data, job->size);
  jpeg_read_header(jpeg, TRUE);
  if (!vc_image_size_ok(jpeg->image_width, jpeg->image_height)) {
    job->status = vc_image_too_large(jpeg->image_width, jpeg->image_height, job->error);
    return;
  }
  if (!can_hold_picture(job)) {
    job->status = vc_fail(job->error, VC_FAILED, "the JPEG ends too early: %zu bytes cannot hold %u x %u pixels",
                          job->size, jpeg->image_width, jpeg->image_height);
    return;
  }
  bool cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
  jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(jpeg);
  if (jpeg->output_components != (cmyk ? 4 : 3)) {
    job->status =
        vc_fail(job->error, VC_FAILED, "a JPEG with %d components a pixel is not supported", jpeg->output_components);
    return;
  }
  job->status = vc_image_new(&job->image, (int)jpeg->output_width, (int)jpeg->output_height, job->error);
  if (job->status) return;
  if (cmyk && !(job->row = malloc((size_t)jpeg->output_width * 4))) {
    job->status = vc_fail(job->error, VC_NO_MEMORY, "no memory for a row of a JPEG");
    return;
  }
  read_rows(job);
  jpeg_finish_decompress(jpeg);
}

vc_status vc_jpeg_decode(vc_image *out, const uint8_t *data, size_t size, vc_error *error) {
  *out = (vc_image){0};
  jpeg_job *job = calloc(1, sizeof *job);
  if (!job) return vc_fail(error, VC_NO_MEMORY, "no memory to read a JPEG");
  job->error = error;
  job->data = data;
  job->size = size;
  job->jpeg.err = jpeg_std_error(&job->errors);
  job->errors.error_exit = on_error;
  job->errors.emit_message = on_message;
  job->progress.progress_monitor = on_progress;
  read_picture(job);
  jpeg_destroy_decompress(&job->jpeg);  // safe on a struct that was only zeroed
  free(job->row);
  if (job->status) vc_image_free(&job->image);
  *out = job->image;
  vc_status status = job->status;
  free(job);
  return status;
}
