// Pictures, clips and files for the tests of the loaders, made by code.
#ifndef VC_TESTS_MEDIA_FIXTURES_H
#define VC_TESTS_MEDIA_FIXTURES_H

#include "loaders/frames.h"

// A smooth gradient with a disc that moves, in many colours. Aborts when there is no memory.
vc_frames fixture_clip(int count, int width, int height, double fps);

// A clip of few flat colours, which lossy steps are not needed for.
vc_frames fixture_flat_clip(int count, int width, int height, double fps);

// A picture of the same kind.
vc_image fixture_image(int width, int height);

double fixture_psnr(const uint8_t *a, const uint8_t *b, size_t count);

// Least PSNR of any frame; 0 when the clips differ in size or number.
double fixture_clip_psnr(const vc_frames *a, const vc_frames *b);

// A new folder under the system's temporary one, freed and removed with all it holds by fixture_remove_folder.
char *fixture_folder(void);
void fixture_remove_folder(char *folder);

// "folder/name", malloc'ed.
char *fixture_path(const char *folder, const char *name);

void fixture_write(const char *path, const void *data, size_t size);
vc_buffer fixture_read(const char *path);

// True when the message is one line that holds `what`.
bool fixture_message_has(const vc_error *error, const char *what);

#endif
