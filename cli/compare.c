// videocomposer compare: two tensor files, two images or two videos.
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cli/command.h"
#include "cli/comparison.h"
#include "cli/interrupt.h"
#include "engine/picture_compare.h"
#include "loaders/frames.h"
#include "loaders/npy.h"
#include "loaders/tensor_file.h"

typedef struct values {
  const char *tolerance;
  double min_psnr, min_ssim;
  bool json;
} values;

static const vc_option options[] = {
    {.name = "tolerance",
     .kind = VC_OPTION_STRING,
     .field = offsetof(values, tolerance),
     .value = "RULE",
     .help = "fail where the result is further off: a number (relative L2), 'equal', 'max_abs X', 'differ X' (share of "
             "elements), 'ignore', or a JSON object of such rules by tensor name, '*' for the rest"},
    {.name = "min-psnr",
     .kind = VC_OPTION_FLOAT,
     .field = offsetof(values, min_psnr),
     .max = 1000,
     .value = "DB",
     .help = "fail if the PSNR of two images or videos is lower"},
    {.name = "min-ssim",
     .kind = VC_OPTION_FLOAT,
     .field = offsetof(values, min_ssim),
     .min = -1,
     .max = 1,
     .value = "X",
     .help = "fail if the SSIM of two images or videos is lower"},
    {.name = "json",
     .kind = VC_OPTION_FLAG,
     .field = offsetof(values, json),
     .help = "print one JSON object instead of text"},
};

static const vc_command_spec spec = {
    .name = "compare",
    .summary =
        "compares a result with a reference: two tensor files (safetensors, checkpoints, .npy), tensor by "
        "tensor,\nor two images or videos (or folders of pictures), as 8-bit RGB",
    .arguments = "RESULT REFERENCE",
    .min_arguments = 2,
    .max_arguments = 2,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .example =
        "videocomposer compare latent.safetensors reference.safetensors --tolerance 1e-4\n"
        "videocomposer compare out.gif expected.gif --min-psnr 30 --json",
    .notes =
        "A tensor that only one file has, and different shapes or dtypes, are failures with or without limits.\n"
        "Exit status 0 when nothing failed.",
};

// What one comparison needs while it lasts, and its outcome.
typedef struct session {
  values values;
  bool judge, judge_psnr, judge_ssim;  // which limits were given
  vc_rules rules;
  cJSON *items;  // NULL for text
  cJSON *json;   // the object that holds them
  int passed, failed;
} session;

static vc_status report(session *s, const vc_comparison *comparison, vc_error *error) {
  comparison->problem ? s->failed++ : s->passed++;
  if (!s->items) {
    vc_comparison_print(stdout, comparison);
    return VC_OK;
  }
  cJSON *item = vc_comparison_json(comparison);
  if (item && cJSON_AddItemToArray(s->items, item)) return VC_OK;
  cJSON_Delete(item);
  return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
}

// NULL stands for a tensor that is not there. `problem` is one found elsewhere, or NULL.
static vc_status compare_one(session *s, const char *name, const vc_tensor *result, const vc_tensor *reference,
                             const char *problem, vc_error *error) {
  vc_error why;
  vc_rule rule = vc_rules_find(&s->rules, name);
  vc_comparison comparison = {.name = name, .reference = reference, .rule = s->judge ? &rule : NULL};
  if (!result || !reference) {
    comparison.problem = result ? "the reference has no tensor of this name" : "the result has no tensor of this name";
  } else if (vc_compare_tensors(result, reference, &comparison.difference, &why)) {
    comparison.problem = why.message;
  } else {
    comparison.measured = true;
    if (s->judge && vc_rule_judge(rule, &comparison.difference, &why)) comparison.problem = why.message;
  }
  if (!comparison.problem) comparison.problem = problem;
  return report(s, &comparison, error);
}

// The tensors of a file of any container; a .npy holds one, without a name.
typedef struct tensors {
  vc_tensor_file file;
  vc_named_tensor single;
  int count;
  const vc_named_tensor *item;  // sorted by name
} tensors;

typedef enum content { CONTENT_TENSORS, CONTENT_NPY, CONTENT_PICTURES } content;

// By the first bytes: what is no container of tensors is left to the readers of pictures and videos.
static vc_status sniff(const char *path, content *out, vc_error *error) {
  unsigned char head[16] = {0};
  FILE *file = fopen(path, "rb");
  if (!file) return vc_fail(error, VC_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
  size_t size = fread(head, 1, sizeof head, file);
  fclose(file);
  bool checkpoint = !memcmp(head, "PK\3\4", 4) || (head[0] == 0x80 && head[1] >= 1 && head[1] <= 5);
  if (!memcmp(head, "\x93NUMPY", 6))
    *out = CONTENT_NPY;
  else
    *out = size > 8 && (head[8] == '{' || checkpoint) ? CONTENT_TENSORS : CONTENT_PICTURES;
  return VC_OK;
}

static vc_status open_tensors(tensors *out, content kind, const char *path, vc_error *error) {
  *out = (tensors){0};
  if (kind == CONTENT_TENSORS) {
    vc_status status = vc_tensor_file_open(&out->file, path, error);
    out->count = out->file.count;
    out->item = out->file.tensor;
    return status;
  }
  static char name[] = "array";
  out->single.name = name;
  out->count = 1;
  out->item = &out->single;
  return vc_npy_read(&out->single.tensor, path, error);
}

static void close_tensors(tensors *t) {
  vc_tensor_file_close(&t->file);
  vc_tensor_free(&t->single.tensor);
}

// Both lists are sorted, so one walk finds the common names and the others.
static vc_status compare_tensor_lists(session *s, const tensors *result, const tensors *reference, vc_error *error) {
  vc_status status = VC_OK;
  for (int i = 0, j = 0; !status && (i < result->count || j < reference->count);) {
    status = vc_interrupt_check(error);
    if (status) break;
    const vc_named_tensor *a = i < result->count ? &result->item[i] : NULL;
    const vc_named_tensor *b = j < reference->count ? &reference->item[j] : NULL;
    int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);
    i += order <= 0;
    j += order >= 0;
    status = compare_one(s, order <= 0 ? a->name : b->name, order <= 0 ? &a->tensor : NULL,
                         order >= 0 ? &b->tensor : NULL, NULL, error);
  }
  return status;
}

static vc_status compare_tensor_files(session *s, char **path, const content *kind, vc_error *error) {
  tensors result = {0}, reference = {0};
  vc_status status = open_tensors(&result, kind[0], path[0], error);
  if (!status) status = open_tensors(&reference, kind[1], path[1], error);
  if (!status) status = compare_tensor_lists(s, &result, &reference, error);
  close_tensors(&result);
  close_tensors(&reference);
  return status;
}

typedef struct similarity {
  double psnr, worst_psnr;  // of all frames together, of the worst
  double ssim, worst_ssim;  // mean, of the worst; NaN for frames smaller than the window
} similarity;

static vc_status measure_similarity(const vc_frames *a, const vc_frames *b, similarity *out, vc_error *error) {
  size_t frame = (size_t)a->width * (size_t)a->height * 3;
  bool large = a->width >= VC_SSIM_WINDOW && a->height >= VC_SSIM_WINDOW;
  double sum = 0, lowest_psnr = 0, lowest_ssim = 0;
  for (int i = 0; i < a->count; i++) {
    vc_status status = vc_interrupt_check(error);
    if (status) return status;
    const uint8_t *p = a->rgb + (size_t)i * frame, *q = b->rgb + (size_t)i * frame;
    double psnr = vc_psnr(p, q, frame), ssim = 0;
    if (large && (status = vc_ssim(p, q, a->width, a->height, &ssim, error))) return status;
    sum += ssim;
    if (!i || psnr < lowest_psnr) lowest_psnr = psnr;
    if (!i || ssim < lowest_ssim) lowest_ssim = ssim;
  }
  *out = (similarity){.psnr = vc_psnr(a->rgb, b->rgb, frame * (size_t)a->count), .worst_psnr = lowest_psnr};
  out->ssim = large ? sum / a->count : NAN;
  out->worst_ssim = large ? lowest_ssim : NAN;
  return VC_OK;
}

static vc_tensor frames_tensor(const vc_frames *frames) {
  return (vc_tensor){
      .dtype = VC_U8, .rank = 4, .dim = {frames->count, frames->height, frames->width, 3}, .data = frames->rgb};
}

static const char *judge_similarity(const session *s, const similarity *found, vc_error *why) {
  if (s->judge_psnr && !(found->psnr >= s->values.min_psnr))
    vc_fail(why, VC_FAILED, "PSNR %.2f dB, at least %.2f asked for", found->psnr, s->values.min_psnr);
  else if (s->judge_ssim && !(found->ssim >= s->values.min_ssim))
    vc_fail(why, VC_FAILED, "SSIM %.4f, at least %.4f asked for", found->ssim, s->values.min_ssim);
  else
    return NULL;
  return why->message;
}

static void report_similarity(session *s, const similarity *found) {
  if (s->json) {
    cJSON_AddNumberToObject(s->json, "psnr", found->psnr);
    cJSON_AddNumberToObject(s->json, "worst_psnr", found->worst_psnr);
    cJSON_AddNumberToObject(s->json, "ssim", found->ssim);
    cJSON_AddNumberToObject(s->json, "worst_ssim", found->worst_ssim);
  } else {
    printf("PSNR %.2f dB (worst frame %.2f), SSIM %.5f (worst frame %.5f)\n", found->psnr, found->worst_psnr,
           found->ssim, found->worst_ssim);
  }
}

static vc_status compare_pictures(session *s, char **path, vc_error *error) {
  static const vc_frames_options reading = {.allow_still = true};
  vc_frames result = {0}, reference = {0};
  const char *problem = NULL;
  vc_error why;
  vc_status status = vc_frames_read(&result, path[0], &reading, error);
  if (!status) status = vc_frames_read(&reference, path[1], &reading, error);
  if (status) goto done;
  if (result.count == reference.count && result.width == reference.width && result.height == reference.height) {
    similarity found;
    status = measure_similarity(&result, &reference, &found, error);
    if (status) goto done;
    report_similarity(s, &found);
    problem = judge_similarity(s, &found, &why);
  }
  vc_tensor a = frames_tensor(&result), b = frames_tensor(&reference);
  status = compare_one(s, "frames", &a, &b, problem, error);
done:
  vc_frames_free(&result);
  vc_frames_free(&reference);
  return status;
}

static vc_status compare_files(session *s, char **path, vc_error *error) {
  content kind[2];
  for (int i = 0; i < 2; i++) {
    vc_status status = sniff(path[i], &kind[i], error);
    if (status) return status;
  }
  bool pictures = kind[0] == CONTENT_PICTURES;
  if (pictures != (kind[1] == CONTENT_PICTURES))
    return vc_fail(error, VC_INVALID, "%s holds tensors and %s does not; both must be of one kind", path[pictures],
                   path[!pictures]);
  if (pictures) return compare_pictures(s, path, error);
  if (s->judge_psnr || s->judge_ssim)
    return vc_fail(error, VC_INVALID, "--min-psnr and --min-ssim are for images and videos; use --tolerance");
  return compare_tensor_files(s, path, kind, error);
}

static vc_status summarise(const session *s, vc_error *error) {
  if (s->json) {
    cJSON_AddNumberToObject(s->json, "passed", s->passed);
    cJSON_AddNumberToObject(s->json, "failed", s->failed);
    char *text = cJSON_Print(s->json);
    if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
    puts(text);
    cJSON_free(text);
  } else {
    printf("%d passed, %d failed\n", s->passed, s->failed);
  }
  int count = s->passed + s->failed;
  if (!count) return vc_fail(error, VC_FAILED, "neither file holds a tensor: there is nothing to compare");
  if (s->failed) return vc_fail(error, VC_FAILED, "%d of %d comparisons failed; the result says why", s->failed, count);
  return VC_OK;
}

static vc_status run(session *s, char **path, vc_error *error) {
  if (s->values.json) {
    s->json = cJSON_CreateObject();
    cJSON_AddStringToObject(s->json, "result", path[0]);
    cJSON_AddStringToObject(s->json, "reference", path[1]);
    s->items = cJSON_AddArrayToObject(s->json, "tensors");
    if (!s->items) return vc_fail(error, VC_NO_MEMORY, "no memory for the result");
  }
  vc_status status = compare_files(s, path, error);
  return status ? status : summarise(s, error);
}

int vc_command_compare(int argc, char **argv) {
  session s = {0};
  vc_arguments arguments;
  vc_error error;
  int exit_status;
  if (!vc_command_start(&spec, argc, argv, &s.values, &arguments, &exit_status)) return exit_status;
  s.judge = s.values.tolerance != NULL;
  s.judge_psnr = vc_option_given(&spec, &arguments, "min-psnr");
  s.judge_ssim = vc_option_given(&spec, &arguments, "min-ssim");
  vc_status status = VC_OK;
  if (s.judge) {
    status = vc_rules_parse(s.values.tolerance, (vc_rule){.kind = VC_RULE_IGNORE}, &s.rules, &error);
    if (status) vc_fail_in(&error, status, "--tolerance");
  }
  if (!status) status = run(&s, arguments.item, &error);
  vc_rules_free(&s.rules);
  cJSON_Delete(s.json);
  return vc_command_finish(&spec, status, &error);
}
