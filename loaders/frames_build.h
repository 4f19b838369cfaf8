// What the readers of clips share. Not for other callers: use loaders/frames.h.
#ifndef VC_LOADERS_FRAMES_BUILD_H
#define VC_LOADERS_FRAMES_BUILD_H

#include "loaders/frames.h"

// Appends a frame and hands out its pixels; without pixels where `pixels` is NULL, for all frames of a clip. VC_FAILED
// when its size differs from those before or a limit is passed.
vc_status vc_frames_add(vc_frames *frames, const vc_frames_options *options, int width, int height, int64_t pts,
                        uint8_t **pixels, vc_error *error);

// True when options->stop_after frames are there.
bool vc_frames_enough(const vc_frames *frames, const vc_frames_options *options);

// Each reads one kind of clip into an empty *frames, and sets its rates and times; the caller frees it on failure.
// Messages hold the path only where they say so.
vc_status vc_frames_from_folder(vc_frames *frames, const char *path, const vc_frames_options *options,
                                vc_error *error);  // with paths
vc_status vc_frames_from_webp(vc_frames *frames, const uint8_t *data, size_t size, const vc_frames_options *options,
                              vc_error *error);
vc_status vc_frames_from_video(vc_frames *frames, const char *path, const vc_frames_options *options,
                               vc_error *error);  // with paths

// The first picture of a folder in the order of vc_frames_from_folder, as a malloc'ed path.
vc_status vc_folder_first_picture(char **out, const char *path, vc_error *error);

// True for WebP files that hold an animation.
bool vc_webp_is_animated(const uint8_t *data, size_t size);

#endif
