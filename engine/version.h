// The version that the program prints and writes into its outputs.
#ifndef VC_ENGINE_VERSION_H
#define VC_ENGINE_VERSION_H

#define VC_VERSION "0.1.0"

#endif
