// Text to token ids: the byte-pair tokenizer of CLIP, as open_clip 2.0.2 runs it.
//
// A cleaned text (loaders/text_clean.h) is split into words: the special words <start_of_text> and <end_of_text>;
// English contractions ('s 't 're 've 'm 'll 'd); runs of letters; single number characters; runs of anything else but
// white space. The UTF-8 bytes of a word are then merged, the pair of lowest rank first, wherever it occurs.
// Ids: 0..255 bytes, 256..511 bytes that end a word, 512..49405 merges, then the two special words.
#ifndef VC_LOADERS_TOKENIZER_H
#define VC_LOADERS_TOKENIZER_H

#include <stdint.h>

#include "engine/status.h"

#define VC_TOKEN_START 49406
#define VC_TOKEN_END 49407
#define VC_TOKEN_CONTEXT 77  // what the released text tower takes

typedef struct vc_tokenizer vc_tokenizer;

// Reads the vocabulary from the bytes of third_party/clip/bpe_simple_vocab_16e6.txt.gz, which may go afterwards.
// VC_FAILED: not gzip, damaged, cut short, too few merges or a line that is no merge; the message says where.
// On failure *out is NULL. Afterwards a tokenizer is read-only: threads may share it.
vc_status vc_tokenizer_open(vc_tokenizer **out, const void *gzip, size_t size, vc_error *error);

void vc_tokenizer_close(vc_tokenizer *tokenizer);

// Writes [VC_TOKEN_START, ids, VC_TOKEN_END], padded with 0 to `context` (at least 2). A longer list is cut, with
// VC_TOKEN_END in the last place, and *truncated (may be NULL) says so. `utf8` may hold U+0000; it may be NULL when
// `length` is 0. VC_INVALID: the text is not UTF-8 (the message gives the byte offset) or is too long (vc_text_clean).
vc_status vc_tokenizer_encode(const vc_tokenizer *tokenizer, const char *utf8, size_t length, int context, int32_t *ids,
                              bool *truncated, vc_error *error);

// The same, neither padded nor cut. The caller frees *ids, which is NULL on failure.
vc_status vc_tokenizer_encode_all(const vc_tokenizer *tokenizer, const char *utf8, size_t length, int32_t **ids,
                                  size_t *count, vc_error *error);

#endif
