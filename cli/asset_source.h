// The program's assets in the form in which the engine asks for them.
#ifndef VC_CLI_ASSET_SOURCE_H
#define VC_CLI_ASSET_SOURCE_H

#include <stddef.h>

// vc_asset_find for vc_engine_options.asset and vc_model_open.
const void *vc_asset_source_program(const char *name, size_t *size);

#endif
