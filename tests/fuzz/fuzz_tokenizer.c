// libFuzzer target: any bytes as a prompt (run in the repository root), and as a vocabulary where they start like gzip.
#include <stdio.h>
#include <stdlib.h>

#include "loaders/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static vc_tokenizer *open_real(void) {
  static unsigned char gzip[2 << 20];
  vc_tokenizer *tokenizer = NULL;
  FILE *file = fopen("third_party/clip/bpe_simple_vocab_16e6.txt.gz", "rb");
  if (!file || vc_tokenizer_open(&tokenizer, gzip, fread(gzip, 1, sizeof gzip, file), NULL)) abort();
  fclose(file);
  return tokenizer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static vc_tokenizer *tokenizer;
  if (!tokenizer) tokenizer = open_real();
  if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b) {
    vc_tokenizer *other;
    if (vc_tokenizer_open(&other, data, size, NULL) == VC_OK) vc_tokenizer_close(other);
  }
  int32_t ids[VC_TOKEN_CONTEXT], *all;
  size_t count;
  bool truncated;
  vc_error error;
  const char *text = (const char *)data;
  vc_status status = vc_tokenizer_encode(tokenizer, text, size, VC_TOKEN_CONTEXT, ids, &truncated, &error);
  if (vc_tokenizer_encode_all(tokenizer, text, size, &all, &count, &error) != status) abort();
  if (status) return 0;
  if (count < 2 || truncated != (count > VC_TOKEN_CONTEXT)) abort();
  for (size_t i = 0; i < VC_TOKEN_CONTEXT; i++) {
    int32_t expected = i >= count ? 0 : truncated && i == VC_TOKEN_CONTEXT - 1 ? VC_TOKEN_END : all[i];
    if (ids[i] != expected || ids[i] < 0 || ids[i] > VC_TOKEN_END) abort();
  }
  free(all);
  return 0;
}
