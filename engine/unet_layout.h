// The block structure of the UNet as data: what the configuration means, before any tensor is described.
#ifndef VC_ENGINE_UNET_LAYOUT_H
#define VC_ENGINE_UNET_LAYOUT_H

#include "engine/config.h"

typedef enum vc_layer_kind {
  VC_LAYER_CONV,            // the first 3x3 convolution
  VC_LAYER_FIRST_TEMPORAL,  // temporal transformer with num_heads heads
  VC_LAYER_RES,
  VC_LAYER_SPATIAL,
  VC_LAYER_TEMPORAL,
  VC_LAYER_DOWN,
  VC_LAYER_UP,
} vc_layer_kind;

typedef struct vc_unet_layer {
  vc_layer_kind kind;
  int64_t c_in, c_out;  // c_in of a decoder's residual block includes the skip connection
} vc_unet_layer;

enum { VC_BLOCK_LAYERS = 4, VC_MAX_BLOCKS = VC_MAX_LEVELS * (VC_MAX_RES_BLOCKS + 1) + 1, VC_MIDDLE_BLOCKS = 4 };

typedef struct vc_unet_block {
  int level;  // works at latent size / 2^level
  int layers;
  vc_unet_layer layer[VC_BLOCK_LAYERS];
} vc_unet_block;

typedef struct vc_unet_layout {
  int encoder_blocks, decoder_blocks;
  vc_unet_block encoder[VC_MAX_BLOCKS];  // "input_blocks.I.J"; a VC_LAYER_DOWN is a block of its own, "input_blocks.I"
  vc_unet_block middle[VC_MIDDLE_BLOCKS];  // of one layer each: "middle_block.I"
  vc_unet_block decoder[VC_MAX_BLOCKS];    // "output_blocks.I.J"; each begins by taking the last skip left
} vc_unet_layout;

// Of a configuration whose numbers are in range; sums and divisibility need not hold yet.
void vc_unet_layout_of(vc_unet_layout *out, const vc_unet_config *config);

#endif
