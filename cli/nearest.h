// "Did you mean ...?": the nearest of the words that exist.
#ifndef VC_CLI_NEAREST_H
#define VC_CLI_NEAREST_H

// The candidate that `word` is most likely a misspelling or a beginning of; NULL when none is near. NULL candidates are
// passed over.
const char *vc_nearest(const char *word, const char *const *candidates, int count);

#endif
