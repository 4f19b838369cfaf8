// The released preparation of reference videos: coded once more as MPEG-4 part 2, and that stream's frames and vectors.
//
// The released code resamples a clip (ffmpeg's fps filter) and encodes it with ffmpeg's defaults: MPEG-4 part 2, 200
// kbit/s, a group of 12 frames, no B frames, half-pixel motion. All frames and motion vectors that its network is
// conditioned on come from that stream. What the encoder makes of a clip depends on the number of its threads: here it
// is one, so that the same clip gives the same stream on every machine (of one version of libavcodec).
#ifndef VC_LOADERS_REENCODE_H
#define VC_LOADERS_REENCODE_H

#include "loaders/frames.h"
#include "loaders/motion_vectors.h"

// Longer sides do not fit in the stream's header.
enum { VC_REENCODE_MAX_SIDE = 8191 };

typedef struct vc_reencode_options {
  vc_ratio rate;     // frames a second; only the distribution of bits depends on it
  int keep_from;     // frames before this one are coded but not kept
  bool pixels;       // keep RGB frames
  bool keep_stream;  // keep the elementary stream (an .m4v file)
} vc_reencode_options;

// Everything in it is owned by it and released by vc_reencoded_free.
typedef struct vc_reencoded {
  vc_frames frames;    // the kept ones, at the rate; empty without `pixels`
  vc_vectors vectors;  // and types, of the kept ones
  vc_buffer stream;    // of all
} vc_reencoded;

// Codes the frames index[0..count) of a clip, which never go back (vc_fps_select's do not): of the video file at
// `path`, upright, or of `clip` where that is not NULL. VC_FAILED, with the path in the message, for a video that
// cannot be read or has fewer frames, for sides above VC_REENCODE_MAX_SIDE, or when libav has no such encoder. On
// failure *out is zeroed.
vc_status vc_reencode(vc_reencoded *out, const char *path, const vc_frames *clip, const int *index, int count,
                      const vc_reencode_options *options, vc_error *error);
void vc_reencoded_free(vc_reencoded *reencoded);

// Where a clip of `frames` frames may start: at I frames that leave that many. Writes their numbers into
// start[type_count] and returns how many there are.
int vc_start_candidates(int *start, const char *type, int type_count, int frames);

#endif
