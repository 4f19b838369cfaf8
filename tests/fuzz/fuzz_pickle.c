// Any bytes as a pickle, interpreted bare, so that no container stands in the way.
#include <stdint.h>

#include "loaders/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const vc_pickle_name calls[] = {{"torch._utils", "_rebuild_tensor_v2"}, {"a", "b"}, {NULL, NULL}};
  vc_pickle pickle;
  vc_error error;
  if (vc_pickle_read(&pickle, "fuzz", data, size, calls, &error)) return 0;
  if (pickle.used > size || !pickle.root) __builtin_trap();
  if (pickle.root->kind == VC_PICKLE_DICT) vc_pickle_get(pickle.root, "state_dict");
  vc_pickle_close(&pickle);
  return 0;
}
