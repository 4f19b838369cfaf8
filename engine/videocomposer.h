// The public interface: open a model, make videos.
//
// An engine holds a model's files, a backend and its device. Two engines live side by side; one engine serves one
// thread at a time. The library never prints, exits, or reads the environment.
#ifndef VC_ENGINE_VIDEOCOMPOSER_H
#define VC_ENGINE_VIDEOCOMPOSER_H

#include "engine/config.h"
#include "engine/sampler.h"
#include "engine/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the program calls while it works. Any may be NULL.
typedef struct vc_callbacks {
  void *opaque;
  // `done` of `total` parts of a phase ("text", "load unet", "denoise", "decode", ...) are finished.
  void (*progress)(void *opaque, const char *phase, int64_t done, int64_t total);
  bool (*cancelled)(void *opaque);  // polled between ops; true ends the work with VC_INTERRUPTED
  // After each denoising step: the predicted clean latent of video `index`, fp32 [f h w c], valid during the call.
  void (*preview)(void *opaque, int64_t index, int64_t step, const float *latent, const int64_t dim[4]);
} vc_callbacks;

typedef struct vc_engine_options {
  const char *model;  // a model folder, or NULL: the files "mini/..." among the assets
  // Files that are part of the program: the BPE vocabulary "bpe_simple_vocab_16e6.txt.gz", and the small model. NULL
  // when there is none of that name; what is returned stays valid.
  const void *(*asset)(const char *name, size_t *size);
  const char *backend;  // "auto", "cpu", "cuda", "cuda:1" (a GPU's number)
  // Of weights, products and activations: F32, F16 or BF16 on a GPU; F32 or BF16 on the CPU, where activations are F32.
  // VC_DTYPE_COUNT: F16 on a GPU, F32 on the CPU.
  vc_dtype dtype;
  const char *choices;  // a file to keep in what was found out about a GPU's kernels, or NULL; it need not exist
  int threads;          // of the CPU backend; 0: as many as the process may use
  int64_t max_memory;   // bytes of weights and activations together; 0: no limit
} vc_engine_options;

vc_engine_options vc_default_engine_options(void);

typedef struct vc_engine vc_engine;

// Reads model.json and opens the weight files (memory-mapped); networks are packed when they are needed.
vc_status vc_engine_open(vc_engine **out, const vc_engine_options *options, vc_error *error);
void vc_engine_close(vc_engine *engine);

const vc_model_config *vc_engine_config(const vc_engine *engine);
const char *vc_engine_backend_name(const vc_engine *engine);
const char *vc_engine_dtype_name(const vc_engine *engine);  // "f32", "f16", "bf16"
// The most bytes of device memory that were allocated at once so far; 0 on a backend without memory of its own.
size_t vc_engine_device_peak(const vc_engine *engine);
// 16 hexadecimal digits that tell models apart: over model.json, every tensor's name, dtype and shape, and the 4 KiB in
// the middle of its contents. Worked out at the first call, in which no other thread may use the engine.
const char *vc_engine_model_hash(const vc_engine *engine);

// One condition as a video. Values are in the condition's own range (depth 0..10, sketches and first image 0..1, motion
// in pixels, mask: image in -1..1 times keep, then keep).
typedef struct vc_condition_video {
  const float *data;  // [f h w c], NULL: absent. c is fixed by the kind: 1, 3, 2, 1, 1, 1, 4
  int64_t f, h, w;    // f is the request's frames, or 1: the same in all frames; any h and w
  float strength;     // factor of the encoder's output; 1 as trained
} vc_condition_video;

typedef struct vc_request {
  const char *prompt;  // UTF-8; NULL: no text (the empty prompt's tokens)
  size_t prompt_bytes;
  const char *negative_prompt;  // takes the empty prompt's place in the unconditional pass; NULL: empty
  size_t negative_prompt_bytes;
  const float *style;    // [size size 3] pixels normalised for the image tower, or NULL
  float style_strength;  // factor of the image embedding; 1 as trained
  vc_condition_video condition[VC_CONDITION_COUNT];
  int64_t frames, height, width;  // height and width in pixels
  vc_sampler_kind sampler;
  vc_spacing spacing;
  int steps;
  double guidance;  // 1: the conditional pass alone
  double eta;
  uint64_t seed;         // of the first video; video k has seed + k
  int64_t count;         // videos
  const float *init;     // [f H W 3] in -1..1: video to video, or NULL
  double init_strength;  // 0..1: share of the steps that are run from the noised init
  bool invert;           // start from the DDIM inversion of init
  const float *noise;    // [count][f h w c] latents to start from instead of the seed's, or NULL (tests)
  vc_callbacks callbacks;
} vc_request;

// The model's own sizes and sampler, no conditions, one video.
vc_request vc_default_request(const vc_engine *engine);

// Seconds and memory of one phase.
typedef struct vc_phase {
  const char *name;
  double seconds;
  size_t weight_bytes, arena_bytes;
} vc_phase;

enum { VC_MAX_PHASES = 16 };

typedef struct vc_result {
  vc_tensor video;        // F32 [n f H W 3] in 0..1
  vc_tensor latent;       // F32 [n f h w c]
  bool prompt_truncated;  // more than 75 tokens: the rest had no effect
  int phases;
  vc_phase phase[VC_MAX_PHASES];
} vc_result;

// Checks the request against the model before anything is loaded: VC_INVALID names the field.
vc_status vc_check_request(const vc_engine *engine, const vc_request *request, vc_error *error);

vc_status vc_generate(vc_engine *engine, const vc_request *request, vc_result *result, vc_error *error);
void vc_result_free(vc_result *result);

#ifdef __cplusplus
}
#endif
#endif
