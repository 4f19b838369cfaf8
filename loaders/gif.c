// The GIF container: blocks, LZW, and the walk over the blocks of a file.
#include "loaders/gif.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/gif_palette.h"

enum { EXTENSION = 0x21, IMAGE = 0x2c, TRAILER = 0x3b, CONTROL = 0xf9, COMMENT = 0xfe, APPLICATION = 0xff };

// ---- writing

// A buffer that remembers that memory ran out, so that it need not be asked after every byte.
typedef struct sink {
  vc_buffer *out;
  bool failed;
} sink;

static void put(sink *to, const void *data, size_t size) {
  if (!to->failed && !vc_buffer_append(to->out, data, size)) to->failed = true;
}

static void put_byte(sink *to, int value) {
  uint8_t byte = (uint8_t)value;
  put(to, &byte, 1);
}

static void put_word(sink *to, int value) {
  put_byte(to, value & 255);
  put_byte(to, value >> 8);
}

static void put_blocks(sink *to, const char *data, size_t size) {
  for (size_t at = 0; at < size; at += 255) {
    size_t count = size - at < 255 ? size - at : 255;
    put_byte(to, (int)count);
    put(to, data + at, count);
  }
  put_byte(to, 0);
}

enum { MAX_CODES = 4096, HASH_SIZE = 8192 };

typedef struct lzw {
  sink *to;
  uint8_t block[255];
  int filled;
  uint32_t bits;
  int bit_count, width;  // width of a code
  int clear, next;
  uint32_t key[HASH_SIZE];  // (prefix << 8 | byte) + 1; 0 is free
  uint16_t code[HASH_SIZE];
} lzw;

static void flush_block(lzw *z) {
  if (!z->filled) return;
  put_byte(z->to, z->filled);
  put(z->to, z->block, (size_t)z->filled);
  z->filled = 0;
}

static void push_byte(lzw *z, int byte) {
  z->block[z->filled++] = (uint8_t)byte;
  if (z->filled == 255) flush_block(z);
}

// The decoder's table lags one entry behind: codes get wider only once an entry of the wider kind is in both.
static void emit(lzw *z, int code) {
  z->bits |= (uint32_t)code << z->bit_count;
  z->bit_count += z->width;
  for (; z->bit_count >= 8; z->bit_count -= 8, z->bits >>= 8) push_byte(z, (int)(z->bits & 255));
  if (z->next >= 1 << z->width && z->width < 12) z->width++;
}

static void start_over(lzw *z, int min_width) {
  emit(z, z->clear);
  memset(z->key, 0, sizeof z->key);
  z->width = min_width + 1;
  z->next = z->clear + 2;
}

static void compress_row(lzw *z, int *prefix, const uint8_t *row, int count, int min_width) {
  for (int x = 0; x < count; x++) {
    if (*prefix < 0) {
      *prefix = row[x];
      continue;
    }
    uint32_t key = ((uint32_t)*prefix << 8 | row[x]) + 1, slot = (key * 2654435761u) >> 19;
    while (z->key[slot] && z->key[slot] != key) slot = (slot + 1) & (HASH_SIZE - 1);
    if (z->key[slot]) {
      *prefix = z->code[slot];
      continue;
    }
    emit(z, *prefix);
    if (z->next < MAX_CODES) {
      z->key[slot] = key;
      z->code[slot] = (uint16_t)z->next++;
    } else {
      start_over(z, min_width);
    }
    *prefix = row[x];
  }
}

typedef struct rectangle {
  int x, y, width, height;
} rectangle;

static void put_pixels(sink *to, lzw *z, const uint8_t *index, int stride, rectangle r, int min_width) {
  z->to = to;
  z->filled = z->bit_count = 0;
  z->bits = 0;
  z->clear = 1 << min_width;
  z->width = min_width + 1;
  z->next = 0;
  put_byte(to, min_width);
  start_over(z, min_width);
  int prefix = -1;
  for (int y = r.y; y < r.y + r.height; y++)
    compress_row(z, &prefix, index + (size_t)y * (size_t)stride + r.x, r.width, min_width);
  emit(z, prefix);
  emit(z, z->clear + 1);
  if (z->bit_count) push_byte(z, (int)(z->bits & 255));
  flush_block(z);
  put_byte(to, 0);
}

// What differs between two frames; one pixel where nothing does, for a frame must hold something.
static rectangle changed(const uint8_t *now, const uint8_t *before, int width, int height) {
  int left = width, right = -1, top = height, bottom = -1;
  for (int y = 0; y < height; y++, now += width, before += width) {
    if (!memcmp(now, before, (size_t)width)) continue;
    if (top == height) top = y;
    bottom = y;
    for (int x = 0; x < left; x++)
      if (now[x] != before[x]) left = x;
    for (int x = width - 1; x > right; x--)
      if (now[x] != before[x]) right = x;
  }
  if (bottom < 0) return (rectangle){0, 0, 1, 1};
  return (rectangle){left, top, right - left + 1, bottom - top + 1};
}

static int table_bits(int colors) {
  int bits = 1;
  while (1 << bits < colors) bits++;
  return bits;
}

static void put_header(sink *to, const vc_frames *frames, const vc_palette *palette, const char *comment) {
  int bits = table_bits(palette->count);
  put(to, "GIF89a", 6);
  put_word(to, frames->width);
  put_word(to, frames->height);
  put_byte(to, 0xf0 | (bits - 1));  // a global table, 8 bits a channel
  put_byte(to, 0);
  put_byte(to, 0);
  uint8_t table[256][3] = {0};
  memcpy(table, palette->rgb, (size_t)palette->count * 3);
  put(to, table, (size_t)3 << bits);
  put_byte(to, EXTENSION);
  put_byte(to, APPLICATION);
  put_byte(to, 11);
  put(to, "NETSCAPE2.0", 11);
  put(to, "\x03\x01\x00\x00\x00", 5);  // loop for ever
  if (comment && *comment) {
    put_byte(to, EXTENSION);
    put_byte(to, COMMENT);
    put_blocks(to, comment, strlen(comment));
  }
}

static void put_frame_header(sink *to, int delay, rectangle r) {
  put_byte(to, EXTENSION);
  put_byte(to, CONTROL);
  put_byte(to, 4);
  put_byte(to, 1 << 2);  // leave the frame in place: the next one covers what changes
  put_word(to, delay);
  put_word(to, 0);  // no transparent colour; end of the block
  put_byte(to, IMAGE);
  put_word(to, r.x);
  put_word(to, r.y);
  put_word(to, r.width);
  put_word(to, r.height);
  put_byte(to, 0);
}

// Delays are whole hundredths, so the error is carried over: 8 a second alternate between 12 and 13.
static int delay_of(int frame, double fps) {
  double delay = nearbyint((frame + 1) * 100 / fps) - nearbyint(frame * 100 / fps);
  return delay < 2 ? 2 : delay > 65535 ? 65535 : (int)delay;
}

static vc_status put_frames(sink *to, const vc_frames *frames, const vc_palette *palette, double fps, vc_error *error) {
  size_t plane = (size_t)frames->width * (size_t)frames->height;
  uint8_t *now = malloc(plane), *before = malloc(plane);
  lzw *z = calloc(1, sizeof *z);
  vc_palette_map map = {0};
  vc_status status = VC_OK;
  int bits = table_bits(palette->count);
  if (!now || !before || !z) status = vc_fail(error, VC_NO_MEMORY, "no memory for a GIF");
  for (int i = 0; i < frames->count && !status; i++) {
    vc_image image = vc_frames_image(frames, i);
    status = vc_palette_apply(&map, now, &image, palette, error);
    if (status) break;
    rectangle r = {0, 0, frames->width, frames->height};
    if (i) r = changed(now, before, frames->width, frames->height);
    put_frame_header(to, delay_of(i, fps), r);
    put_pixels(to, z, now, frames->width, r, bits < 2 ? 2 : bits);
    uint8_t *swap = before;
    before = now;
    now = swap;
  }
  free(now);
  free(before);
  free(z);
  vc_palette_map_free(&map);
  return status;
}

vc_status vc_gif_encode(vc_buffer *out, const vc_frames *frames, double fps, const char *comment, vc_error *error) {
  if (frames->count < 1 || !vc_image_size_ok(frames->width, frames->height) || !(fps > 0) || fps > 1000)
    return vc_fail(error, VC_INVALID, "a GIF of %d frames of %d x %d pixels at %g a second is not possible",
                   frames->count, frames->width, frames->height, fps);
  vc_palette palette;
  sink to = {.out = out};
  vc_status status = vc_palette_make(&palette, frames, error);
  if (status) return status;
  put_header(&to, frames, &palette, comment);
  status = put_frames(&to, frames, &palette, fps, error);
  put_byte(&to, TRAILER);
  if (!status && to.failed) status = vc_fail(error, VC_NO_MEMORY, "no memory for a GIF of %zu bytes", out->size);
  return status;
}

// ---- walking over a file

typedef struct walk {
  const uint8_t *data;
  size_t size, at;
  vc_gif_summary summary;
  vc_buffer *comment;  // where the first comment goes, or NULL
  bool has_comment, no_memory;
  int delay;  // of the next frame
} walk;

static bool skip(walk *w, size_t count) {
  if (count > w->size - w->at) return false;
  w->at += count;
  return true;
}

// Sub-blocks up to the empty one; their content is appended to `into` if it is not NULL.
static bool skip_blocks(walk *w, vc_buffer *into) {
  for (;;) {
    if (w->at >= w->size) return false;
    size_t count = w->data[w->at++], from = w->at;
    if (!skip(w, count)) return false;
    if (!count) return true;
    if (into && !vc_buffer_append(into, w->data + from, count)) w->no_memory = true;
  }
}

static bool read_extension(walk *w) {
  if (w->at >= w->size) return false;
  int label = w->data[w->at++];
  if (label == COMMENT && w->comment && !w->has_comment) {
    w->has_comment = true;
    return skip_blocks(w, w->comment);
  }
  if (label == CONTROL && w->size - w->at >= 5 && w->data[w->at] == 4) {
    int delay = w->data[w->at + 2] | w->data[w->at + 3] << 8;
    w->delay = delay < 2 ? 10 : delay;
  }
  return skip_blocks(w, NULL);
}

static bool read_image(walk *w) {
  if (w->size - w->at < 9) return false;
  int flags = w->data[w->at + 8];
  if (!skip(w, 9) || ((flags & 0x80) && !skip(w, (size_t)3 << ((flags & 7) + 1)))) return false;
  if (!skip(w, 1) || !skip_blocks(w, NULL)) return false;
  w->summary.frames++;
  w->summary.duration += w->delay;
  w->summary.last_delay = w->delay;
  w->delay = 10;
  return true;
}

static vc_status walk_blocks(walk *w, vc_error *error) {
  if (w->size < 13 || (memcmp(w->data, "GIF89a", 6) && memcmp(w->data, "GIF87a", 6)))
    return vc_fail(error, VC_FAILED, "not a GIF");
  w->summary.width = w->data[6] | w->data[7] << 8;
  w->summary.height = w->data[8] | w->data[9] << 8;
  w->at = 13;
  w->delay = 10;
  bool whole = !(w->data[10] & 0x80) || skip(w, (size_t)3 << ((w->data[10] & 7) + 1));
  while (whole && !w->has_comment) {
    if (w->at >= w->size) {
      whole = false;
      break;
    }
    int kind = w->data[w->at++];
    if (kind == TRAILER) break;
    if (kind == EXTENSION)
      whole = read_extension(w);
    else if (kind == IMAGE)
      whole = read_image(w);
    else
      return vc_fail(error, VC_FAILED, "damaged GIF: an unknown block 0x%02x at byte %zu", (unsigned)kind, w->at - 1);
  }
  if (w->no_memory) return vc_fail(error, VC_NO_MEMORY, "no memory for the comment of a GIF");
  if (!whole) return vc_fail(error, VC_FAILED, "the GIF ends too early, after %zu bytes", w->size);
  return VC_OK;
}

vc_status vc_gif_scan(vc_gif_summary *out, const uint8_t *data, size_t size, vc_error *error) {
  walk w = {.data = data, .size = size};
  vc_status status = walk_blocks(&w, error);
  if (!status && !w.summary.frames) status = vc_fail(error, VC_FAILED, "the GIF holds no frames");
  *out = w.summary;
  return status;
}

vc_status vc_gif_comment(vc_buffer *out, const uint8_t *data, size_t size, vc_error *error) {
  walk w = {.data = data, .size = size, .comment = out};
  return walk_blocks(&w, error);
}
