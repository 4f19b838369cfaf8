// The image autoencoder of Stable Diffusion 2.1, frame by frame: image in [-1, 1] <-> latent of 1/8 the size.
//
// Parameter names are the checkpoint's without "first_stage_model.".
#ifndef VC_ENGINE_VAE_H
#define VC_ENGINE_VAE_H

#include "engine/config.h"
#include "engine/graph.h"

// image {n f H W in_channels} -> moments {n f h w 2 embed_dim}: mean, then logarithm of the variance. H and W of at
// least the scale, vc_vae_scale; a rest of the division is dropped by the convolutions as in the reference.
vc_value vc_vae_encoder(vc_graph *graph, vc_value image, const vc_vae_config *config);

// latent {n f h w embed_dim} as the UNet knows it, scale factor included -> image {n f H W out_ch}, not clamped.
vc_value vc_vae_decoder(vc_graph *graph, vc_value latent, const vc_vae_config *config);

// Pixels of a latent pixel, along a side: 2^(levels - 1).
int64_t vc_vae_scale(const vc_vae_config *config);

// Moments [pixels][2 c] to mean and logvar (clamped to [-30, 20]) and the UNet's latent
// scale_factor (mean + exp(logvar / 2) noise), [pixels][c] each. mean and logvar may be NULL.
void vc_vae_posterior(const float *moments, const float *noise, int64_t pixels, int64_t c, double scale_factor,
                      float *mean, float *logvar, float *latent);

#endif
