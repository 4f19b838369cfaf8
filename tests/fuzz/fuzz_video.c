// Any bytes as a clip: refused, or frames of the size that is claimed.
#include <libavutil/log.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loaders/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const vc_frames_options options = {.allow_still = true, .stop_after = 3, .max_bytes = 16 << 20};
  vc_frames frames;
  vc_buffer comment = {0};
  vc_error error = {""};
  char path[64];
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  av_log_set_level(AV_LOG_QUIET);
  if (vc_frames_read(&frames, path, &options, &error) == VC_OK) {
    if (frames.count < 1 || frames.count > 3 || !vc_image_size_ok(frames.width, frames.height)) abort();
    volatile uint8_t last = frames.rgb[(size_t)frames.count * (size_t)frames.width * (size_t)frames.height * 3 - 1];
    (void)last;
    vc_frames_free(&frames);
  } else if (!error.message[0] || frames.rgb) {
    abort();
  }
  (void)vc_video_comment(&comment, path, NULL);
  vc_buffer_free(&comment);
  close(fd);
  return 0;
}
