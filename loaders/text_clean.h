// Cleaning of a prompt before it is split into tokens, as open_clip does it.
#ifndef VC_LOADERS_TEXT_CLEAN_H
#define VC_LOADERS_TEXT_CLEAN_H

#include "loaders/code_points.h"

// The longest text that is taken. It bounds the memory of the cleaning to a few times four bytes a character.
#define VC_TEXT_MAX_BYTES ((size_t)64 << 20)

// Appends to `out` what becomes of a UTF-8 text (which may hold U+0000) in these steps:
// 1. Line by line, until nothing changes any more: named and numeric character references (&amp; &#38;) are resolved,
//    but not from the first line that holds a '<' on; C1 controls are read as Windows-1252; ligatures, full- and
//    half-width forms and curly quotes become plain ones; line ends become U+000A; terminal escapes and control
//    characters go; then NFC. These are the default steps of the Python package ftfy 6.1, without its guessing of
//    wrongly decoded text.
// 2. Character references are resolved twice more, now everywhere and as browsers do: "&notit" is U+00AC "it".
// 3. White space is collapsed to single spaces, none at either end.
// 4. Lower case.
// VC_INVALID: not UTF-8 (the message gives the byte offset), too long, or references nested so deeply in a long line
// that resolving them layer by layer would take minutes (never below 10,000 characters).
vc_status vc_text_clean(vc_code_points *out, const char *utf8, size_t length, vc_error *error);

#endif
