#include "loaders/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

#include "loaders/text_clean.h"

#define FIRST_MERGE 512
#define MERGE_COUNT (VC_TOKEN_START - FIRST_MERGE)
#define TABLE_BITS 17  // open addressing, at most 38 % full
#define TABLE_SIZE (1u << TABLE_BITS)
#define MAX_VOCABULARY ((size_t)64 << 20)  // the real one unpacks to 3.2 MB; lengths in it fit 32 bits
#define NO_SYMBOL (-1)

// A merge: two symbols and the id of what they become. The lower the id, the earlier the merge.
typedef struct merge {
  int32_t left, right, id;  // id 0: an empty place
} merge;

struct vc_tokenizer {
  int32_t byte_id[256];
  merge merges[TABLE_SIZE];
};

static uint32_t slot_of(uint64_t key) {
  return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> (64 - TABLE_BITS));
}

// The place of a merge in the table: it has id 0 if there is none.
static uint32_t find_merge(const vc_tokenizer *t, int32_t left, int32_t right) {
  uint32_t i = slot_of((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
  while (t->merges[i].id && (t->merges[i].left != left || t->merges[i].right != right)) i = (i + 1) % TABLE_SIZE;
  return i;
}

// ---------------------------------------------------------------- vocabulary

// The spelling of every symbol, while the vocabulary is read.
typedef struct spelling {
  const char *text;
  uint32_t length;
  int32_t id;
} spelling;

typedef struct reader {
  vc_tokenizer *tokenizer;
  char *text;
  size_t size;
  spelling symbols[TABLE_SIZE];
  char byte_spelling[512][8];
} reader;

static spelling *find_spelling(reader *r, const char *text, uint32_t length) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (uint32_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
  uint32_t i = slot_of(hash);
  while (r->symbols[i].text && (r->symbols[i].length != length || memcmp(r->symbols[i].text, text, length) != 0))
    i = (i + 1) % TABLE_SIZE;
  return &r->symbols[i];
}

static bool is_printable_byte(int b) {
  return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
}

// The vocabulary spells every byte as a printable character: itself where Latin-1 has one, else U+0100 and on. The ids
// are in the order of the characters. A byte that ends a word has "</w>" behind it.
static void add_bytes(reader *r) {
  int32_t id = 0;
  for (int printable = 1; printable >= 0; printable--) {
    for (int b = 0, others = 0; b < 256; b++) {
      if (is_printable_byte(b) != (printable == 1)) continue;
      int32_t c = printable ? b : 256 + others++;
      for (int end = 0; end < 2; end++) {
        char *text = r->byte_spelling[id + 256 * end];
        uint32_t length = (uint32_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)text);
        memcpy(text + length, end ? "</w>" : "", end ? 5 : 1);
        length += end ? 4 : 0;
        *find_spelling(r, text, length) = (spelling){text, length, id + 256 * end};
      }
      r->tokenizer->byte_id[b] = id++;
    }
  }
}

static vc_status grow_text(reader *r, size_t *capacity, vc_error *error) {
  *capacity = *capacity ? 2 * *capacity : (size_t)4 << 20;
  if (*capacity > MAX_VOCABULARY) return vc_fail(error, VC_FAILED, "it unpacks to too much: fetch the file again");
  char *text = realloc(r->text, *capacity);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "out of memory for %zu bytes", *capacity);
  r->text = text;
  return VC_OK;
}

// Unpacks the whole file, so that zlib checks its sum, into r->text.
static vc_status unpack(reader *r, const void *gzip, size_t size, vc_error *error) {
  z_stream stream = {.next_in = (Bytef *)gzip, .avail_in = (uInt)size};
  size_t capacity = 0;
  vc_status status = VC_OK;
  if (size > MAX_VOCABULARY) return vc_fail(error, VC_FAILED, "%zu bytes are too many: fetch the file again", size);
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return vc_fail(error, VC_NO_MEMORY, "out of memory for unpacking");
  for (int result = Z_OK; result != Z_STREAM_END;) {
    if (r->size == capacity && (status = grow_text(r, &capacity, error))) goto done;
    stream.next_out = (Bytef *)r->text + r->size;
    stream.avail_out = (uInt)(capacity - r->size);
    result = inflate(&stream, Z_NO_FLUSH);
    r->size = capacity - stream.avail_out;
    if (result == Z_OK || result == Z_STREAM_END) continue;
    const char *what = result == Z_BUF_ERROR ? "it is cut short" : stream.msg ? stream.msg : zError(result);
    status = vc_fail(error, result == Z_MEM_ERROR ? VC_NO_MEMORY : VC_FAILED,
                     "no whole gzip file at byte offset %zu of %zu (%s): fetch the file again", size - stream.avail_in,
                     size, what);
    goto done;
  }
  if (stream.avail_in > 0)
    status = vc_fail(error, VC_FAILED, "%u bytes follow the gzip data at byte offset %zu: fetch the file again",
                     stream.avail_in, size - stream.avail_in);
done:
  inflateEnd(&stream);
  return status;
}

// Takes one line "left right". Both must be symbols known by now and the merged one must be new, as they are in the
// output of any training of byte pairs; merging in the order of a heap relies on it.
static vc_status add_merge(reader *r, char *line, uint32_t length, int number, vc_error *error) {
  const char *space = memchr(line, ' ', length);
  uint32_t left_length = space ? (uint32_t)(space - line) : 0;
  uint32_t right_length = space ? length - left_length - 1 : 0;
  if (left_length == 0 || right_length == 0 || memchr(space + 1, ' ', right_length))
    return vc_fail(error, VC_FAILED, "line %d of the merges is not two symbols: fetch the file again", number + 2);
  const spelling *left = find_spelling(r, line, left_length);
  const spelling *right = find_spelling(r, space + 1, right_length);
  if (!left->text || !right->text)
    return vc_fail(error, VC_FAILED,
                   "line %d of the merges uses a symbol that no line before makes: fetch the file again", number + 2);
  int32_t id = FIRST_MERGE + number;
  r->tokenizer->merges[find_merge(r->tokenizer, left->id, right->id)] = (merge){left->id, right->id, id};
  memmove(line + 1, line, left_length);  // over the space: now the merged symbol stands there
  spelling *merged = find_spelling(r, line + 1, length - 1);
  if (merged->text)
    return vc_fail(error, VC_FAILED, "line %d of the merges makes a symbol again: fetch the file again", number + 2);
  *merged = (spelling){line + 1, length - 1, id};
  return VC_OK;
}

static vc_status read_merges(reader *r, vc_error *error) {
  char *line = r->text, *end = r->text + r->size;
  for (int number = -1; number < MERGE_COUNT; number++) {  // the first line is a comment
    if (line == end)
      return vc_fail(error, VC_FAILED, "it holds %d merges, %d are needed: fetch the file again",
                     number < 0 ? 0 : number, MERGE_COUNT);
    char *next = memchr(line, '\n', (size_t)(end - line));
    uint32_t length = (uint32_t)((next ? next : end) - line);
    vc_status status = number < 0 ? VC_OK : add_merge(r, line, length, number, error);
    if (status) return status;
    line = next ? next + 1 : end;
  }
  return VC_OK;
}

vc_status vc_tokenizer_open(vc_tokenizer **out, const void *gzip, size_t size, vc_error *error) {
  vc_status status = VC_OK;
  reader *r = calloc(1, sizeof *r);
  vc_tokenizer *t = calloc(1, sizeof *t);
  *out = NULL;
  if (!r || !t) {
    status = vc_fail(error, VC_NO_MEMORY, "out of memory for the CLIP vocabulary");
    goto done;
  }
  r->tokenizer = t;
  add_bytes(r);
  if ((status = unpack(r, gzip, size, error)) || (status = read_merges(r, error))) {
    vc_fail_in(error, status, "CLIP vocabulary");
    goto done;
  }
  *out = t;
  t = NULL;
done:
  if (r) free(r->text);
  free(r);
  free(t);
  return status;
}

void vc_tokenizer_close(vc_tokenizer *tokenizer) {
  free(tokenizer);
}

// ---------------------------------------------------------------- merging

// One symbol of the word in work. `id` of the merge with its right neighbour, NO_SYMBOL if there is none.
typedef struct node {
  int32_t symbol, previous, next, id;
} node;

typedef struct encoder {
  const vc_tokenizer *tokenizer;
  char *word;  // UTF-8
  size_t word_size, word_capacity;
  node *nodes;
  uint64_t *heap;  // merge id << 32 | place of the left symbol; entries go stale, nodes[] tells
  size_t heap_count;
  int32_t *ids;
  size_t count, capacity;
} encoder;

static void push(encoder *e, uint64_t entry) {
  size_t i = e->heap_count++;
  for (; i > 0 && e->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
  e->heap[i] = entry;
}

static uint64_t pop(encoder *e) {
  uint64_t top = e->heap[0], last = e->heap[--e->heap_count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < e->heap_count; i = child) {
    if (child + 1 < e->heap_count && e->heap[child + 1] < e->heap[child]) child++;
    if (last <= e->heap[child]) break;
    e->heap[i] = e->heap[child];
  }
  e->heap[i] = last;
  return top;
}

// Looks up the merge of a symbol with its right neighbour.
static void offer(encoder *e, int32_t at) {
  node *n = &e->nodes[at];
  n->id = NO_SYMBOL;
  if (n->next < 0) return;
  int32_t id = e->tokenizer->merges[find_merge(e->tokenizer, n->symbol, e->nodes[n->next].symbol)].id;
  if (id == 0) return;
  n->id = id;
  push(e, (uint64_t)(uint32_t)id << 32 | (uint32_t)at);
}

static void join(encoder *e, int32_t at) {
  node *n = &e->nodes[at], *gone = &e->nodes[n->next];
  n->symbol = n->id;
  n->next = gone->next;
  gone->id = NO_SYMBOL;
  if (n->next >= 0) e->nodes[n->next].previous = at;
  if (n->previous >= 0) offer(e, n->previous);
  offer(e, at);
}

// Makes room for a word of `size` bytes; what the arrays hold is lost.
static vc_status reserve_word(encoder *e, size_t size, vc_error *error) {
  if (size <= e->word_capacity) return VC_OK;
  free(e->word);
  free(e->nodes);
  free(e->heap);
  e->word = NULL, e->nodes = NULL, e->heap = NULL;
  e->word_capacity = 0;
  // Node indices are 32-bit. A merge takes a heap entry and adds at most two, and there are fewer merges than nodes.
  size_t capacity = size + size / 2 + 64, bytes, heap_bytes;
  if (capacity > INT32_MAX || !vc_mul_size(capacity, sizeof *e->nodes, &bytes) ||
      !vc_mul_size(capacity, 2 * sizeof *e->heap, &heap_bytes))
    return vc_fail(error, VC_INVALID, "a word of %zu bytes is too long", size);
  e->word = malloc(capacity);
  e->nodes = malloc(bytes);
  e->heap = malloc(heap_bytes);
  if (!e->word || !e->nodes || !e->heap)
    return vc_fail(error, VC_NO_MEMORY, "out of memory for a word of %zu bytes", size);
  e->word_capacity = capacity;
  return VC_OK;
}

static vc_status add_id(encoder *e, int32_t id, vc_error *error) {
  if (e->count == e->capacity) {
    size_t capacity = e->capacity + e->capacity / 2 + 96, bytes;
    int32_t *ids = vc_mul_size(capacity, sizeof *ids, &bytes) ? realloc(e->ids, bytes) : NULL;
    if (!ids) return vc_fail(error, VC_NO_MEMORY, "out of memory for more than %zu tokens", e->count);
    e->ids = ids;
    e->capacity = capacity;
  }
  e->ids[e->count++] = id;
  return VC_OK;
}

// Appends the ids of e->word. Always joining the leftmost pair of lowest rank is the same as joining all its
// occurrences at once, since what a merge makes can only take part in later ones.
static vc_status encode_word(encoder *e, vc_error *error) {
  size_t size = e->word_size;
  e->heap_count = 0;
  for (size_t i = 0; i < size; i++)
    e->nodes[i] = (node){.symbol = e->tokenizer->byte_id[(unsigned char)e->word[i]],
                         .previous = (int32_t)i - 1,
                         .next = i + 1 < size ? (int32_t)i + 1 : -1};
  e->nodes[size - 1].symbol += 256;
  for (size_t i = 0; i < size; i++) offer(e, (int32_t)i);
  while (e->heap_count > 0) {
    uint64_t entry = pop(e);
    int32_t at = (int32_t)(entry & 0xffffffff);
    if (e->nodes[at].id == (int32_t)(entry >> 32)) join(e, at);
  }
  vc_status status = VC_OK;
  for (int32_t i = 0; i >= 0 && status == VC_OK; i = e->nodes[i].next) status = add_id(e, e->nodes[i].symbol, error);
  return status;
}

// ---------------------------------------------------------------- splitting

typedef enum kind { LETTER, NUMBER, WHITE, OTHER } kind;

static kind kind_of(int32_t c) {
  if (vc_code_point_is_white(c) || c == 0x345) return WHITE;  // U+0345 fits no rule of the original and is dropped
  utf8proc_category_t category = utf8proc_category(c);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return LETTER;
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return NUMBER;
  return OTHER;
}

static bool starts_with(const int32_t *text, size_t count, const char *head) {
  size_t i = 0;
  while (head[i] && i < count && text[i] == head[i]) i++;
  return head[i] == 0;
}

// The length of the word at the start of a text, 0 at white space. *special is the id of a special word, else 0.
static size_t next_word(const int32_t *text, size_t count, int32_t *special) {
  static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  *special = 0;
  if (starts_with(text, count, "<start_of_text>")) *special = VC_TOKEN_START;
  if (starts_with(text, count, "<end_of_text>")) *special = VC_TOKEN_END;
  if (*special) return strlen(*special == VC_TOKEN_START ? "<start_of_text>" : "<end_of_text>");
  for (size_t i = 0; i < sizeof contractions / sizeof *contractions; i++)
    if (starts_with(text, count, contractions[i])) return strlen(contractions[i]);
  if (count >= 2 && text[0] == '\'' && text[1] == 0x17f) return 2;  // a long s, which ignoring case makes an s
  kind first = kind_of(text[0]);
  if (first == WHITE) return 0;
  size_t length = 1;
  while (first != NUMBER && length < count && kind_of(text[length]) == first) length++;
  return length;
}

// Puts a word into e->word.
static vc_status write_word(encoder *e, const int32_t *text, size_t count, vc_error *error) {
  e->word_size = 0;
  for (size_t i = 0; i < count; i++)
    e->word_size += text[i] < 0x80 ? 1 : text[i] < 0x800 ? 2 : text[i] < 0x10000 ? 3 : 4;
  vc_status status = reserve_word(e, e->word_size, error);
  if (status) return status;
  for (size_t i = 0, at = 0; i < count; i++)
    at += (size_t)utf8proc_encode_char(text[i], (utf8proc_uint8_t *)e->word + at);
  return VC_OK;
}

// Fills e->ids with [start, ids, end]. Words are left out once there are more than `enough` ids.
static vc_status encode(encoder *e, const char *utf8, size_t length, size_t enough, vc_error *error) {
  vc_code_points text = {0};
  vc_status status = vc_text_clean(&text, utf8, length, error);
  if (status) {
    vc_fail_in(error, status, "prompt");
    goto done;
  }
  if ((status = add_id(e, VC_TOKEN_START, error))) goto done;
  for (size_t i = 0; i < text.count && e->count <= enough;) {
    int32_t special;
    size_t count = next_word(text.data + i, text.count - i, &special);
    if (special) {
      status = add_id(e, special, error);
    } else if (count > 0) {
      status = write_word(e, text.data + i, count, error);
      if (status == VC_OK) status = encode_word(e, error);
    }
    if (status) goto done;
    i += count > 0 ? count : 1;
  }
  status = add_id(e, VC_TOKEN_END, error);
done:
  vc_code_points_free(&text);
  free(e->word);
  free(e->nodes);
  free(e->heap);
  return status;
}

vc_status vc_tokenizer_encode(const vc_tokenizer *tokenizer, const char *utf8, size_t length, int context, int32_t *ids,
                              bool *truncated, vc_error *error) {
  if (context < 2) return vc_fail(error, VC_INVALID, "a context of %d tokens is too short: at least 2", context);
  encoder e = {.tokenizer = tokenizer};
  vc_status status = encode(&e, utf8, length, (size_t)context, error);
  if (status == VC_OK) {
    size_t room = (size_t)context, count = e.count < room ? e.count : room;
    memcpy(ids, e.ids, count * sizeof *ids);
    memset(ids + count, 0, (room - count) * sizeof *ids);
    ids[count - 1] = VC_TOKEN_END;
    if (truncated) *truncated = e.count > room;
  }
  free(e.ids);
  return status;
}

vc_status vc_tokenizer_encode_all(const vc_tokenizer *tokenizer, const char *utf8, size_t length, int32_t **ids,
                                  size_t *count, vc_error *error) {
  encoder e = {.tokenizer = tokenizer};
  vc_status status = encode(&e, utf8, length, SIZE_MAX, error);
  *ids = NULL;
  *count = 0;
  if (status) {
    free(e.ids);
    return status;
  }
  *ids = e.ids;
  *count = e.count;
  return VC_OK;
}
