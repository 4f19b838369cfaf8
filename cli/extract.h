// What the parts of the extract subcommand share: what has been extracted, and writing it.
#ifndef VC_CLI_EXTRACT_H
#define VC_CLI_EXTRACT_H

#include "engine/reference.h"

// Everything in it is owned by it. What is not wanted is empty.
typedef struct vc_extracted {
  int frames;                             // of the video that the conditions are for
  double fps;                             // of pictures that move
  vc_reference reference;                 // the clip; without frames where motion comes from strokes alone
  vc_tensor depth, sketch, motion, mask;  // F32 [f h w c], the mask U8
  bool has_frames;                        // the clip's frames are wanted themselves
  vc_image image, style;
  double motion_gain;  // pixels of the motion field in one of its units
} vc_extracted;

void vc_extracted_free(vc_extracted *extracted);

// A file for each, and a picture to look at: NAME.safetensors and NAME.png in a folder, which is made if need be. Or
// all tensors in one file, where `path` ends in .safetensors. `source` goes into their metadata.
vc_status vc_extracted_write(const char *path, const vc_extracted *extracted, const char *source, vc_error *error);

// Whether that can be done, before there is anything to write.
vc_status vc_extracted_probe(const char *path, vc_error *error);

#endif
