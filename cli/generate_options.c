// The options of generate.
#include "cli/generate.h"

static const char *const mask_shapes[] = {"irregular", "rectangle", "uncrop", NULL};
static const char *const pads[] = {"refuse", "hold", "loop", NULL};
static const char *const motion_sources[] = {"released", "codec", NULL};
static const char *const samplers[] = {"ddim", "dpmpp2m", "unipc", NULL};
static const char *const spacings[] = {"logSNR", "time_uniform", NULL};

#define FIELD(name) .field = offsetof(vc_generate_options, name)
#define HEADING(text) \
  { .kind = VC_OPTION_HEADING, .help = text }

static const vc_option table[] = {
    HEADING("Conditions, in any combination; a file may end in a strength: clip.gif:0.8"),
    {.name = "prompt", .kind = VC_OPTION_STRING, FIELD(prompt), .help = "what the video shows, in UTF-8"},
    {.name = "negative-prompt",
     .kind = VC_OPTION_STRING,
     FIELD(negative_prompt),
     .help = "what it shall not show; the empty text without it"},
    {.name = "image",
     .kind = VC_OPTION_STRING,
     FIELD(image),
     .value = "FILE",
     .help = "picture that is the first frame"},
    {.name = "style",
     .kind = VC_OPTION_STRING,
     FIELD(style),
     .value = "FILE",
     .help = "picture whose style the video is to have"},
    {.name = "sketch",
     .kind = VC_OPTION_STRING,
     FIELD(sketch),
     .value = "FILE",
     .help = "one sketch for all frames: a drawing or a photograph, whose lines the edge networks find"},
    {.name = "sketch-raw",
     .kind = VC_OPTION_FLAG,
     FIELD(sketch_raw),
     .help = "the picture of --sketch is a line drawing and taken as it is, without those networks"},
    {.name = "sketch-video",
     .kind = VC_OPTION_STRING,
     FIELD(sketch_video),
     .value = "FILE",
     .help =
         "a sketch for each frame: video, GIF, WebP, folder of pictures (bright lines on black), or a tensor in 0..1"},
    {.name = "sketch-invert",
     .kind = VC_OPTION_FLAG,
     FIELD(sketch_invert),
     .help = "sketches are dark lines on paper; without it, pictures that are mostly bright are taken for that"},
    {.name = "depth",
     .kind = VC_OPTION_STRING,
     FIELD(depth),
     .value = "FILE",
     .help =
         "inverse depth for each frame: the same kinds of files; 8-bit pictures hold 127.5 x depth (0 far, 255 is 2), "
         "tensors the depth itself (0..10)"},
    {.name = "motion",
     .kind = VC_OPTION_STRING,
     FIELD(motion),
     .value = "FILE",
     .help =
         "a video, whose motion vectors are taken; or those vectors as a tensor of two channels: x and y pixels since "
         "the frame before, 0 where nothing is known"},
    {.name = "motion-source",
     .kind = VC_OPTION_CHOICE,
     FIELD(motion_source),
     .choices = motion_sources,
     .fallback = "released",
     .help =
         "of a video's vectors: a re-encode to MPEG-4 part 2 at --fps, as the model was trained with, or the stream's "
         "own codec at its own rate"},
    {.name = "strokes",
     .kind = VC_OPTION_STRING,
     FIELD(strokes),
     .value = "FILE|TEXT",
     .help = "motion drawn by hand: a JSON file, or paths in pixels of the video, such as '64,128 -> 192,128; 9,9 -> "
             "9,40'"},
    {.name = "source",
     .kind = VC_OPTION_STRING,
     FIELD(source),
     .value = "FILE",
     .help = "video to paint anew in parts"},
    {.name = "mask",
     .kind = VC_OPTION_STRING,
     FIELD(mask),
     .value = "FILE",
     .help =
         "where: picture or video, white is painted, black kept; one with as many frames as the source goes with them"},
    {.name = "mask-shape",
     .kind = VC_OPTION_CHOICE,
     FIELD(mask_shape),
     .choices = mask_shapes,
     .help = "draws a mask from the seed instead"},
    {.name = "mask-seed",
     .kind = VC_OPTION_UINT64,
     FIELD(mask_seed),
     .help = "a seed of its own for that mask; without it, --seed"},
    {.name = "video",
     .kind = VC_OPTION_STRING,
     FIELD(video),
     .value = "FILE",
     .help = "reference video that conditions are taken from; needs --use"},
    {.name = "use",
     .kind = VC_OPTION_STRING,
     FIELD(use),
     .value = "LIST",
     .help = "which, parted by commas: depth, sketch, motion, image (its first frame), style, mask (the video is the "
             "source)"},
    {.name = "start",
     .kind = VC_OPTION_STRING,
     FIELD(start),
     .value = "N|random",
     .help =
         "the frame of the videos to begin with, counted at --fps; random: by the seed, as in training, or by another, "
         "random:SEED; without it, 0"},
    {.name = "pad",
     .kind = VC_OPTION_CHOICE,
     FIELD(pad),
     .choices = pads,
     .fallback = "refuse",
     .help = "what to do with sequences that are too short: hold their last frame or loop; longer ones are cut"},
    HEADING("Sampling; what is not given is the model's own"),
    {.name = "steps", .kind = VC_OPTION_INT, FIELD(steps), .min = 1, .max = 1000, .help = "denoising steps"},
    {.name = "guidance",
     .kind = VC_OPTION_FLOAT,
     FIELD(guidance),
     .min = 0,
     .max = 100,
     .help = "weight of the text; 1 leaves out the unconditional pass and takes half the time"},
    {.name = "sampler",
     .kind = VC_OPTION_CHOICE,
     FIELD(sampler),
     .choices = samplers,
     .help = "how the steps are made"},
    {.name = "spacing",
     .kind = VC_OPTION_CHOICE,
     FIELD(spacing),
     .choices = spacings,
     .help = "where dpmpp2m and unipc put their steps"},
    {.name = "eta", .kind = VC_OPTION_FLOAT, FIELD(eta), .max = 1, .help = "noise that ddim adds in each step"},
    {.name = "seed", .kind = VC_OPTION_UINT64, FIELD(seed), .fallback = "0", .help = "of the random numbers"},
    {.name = "frames", .kind = VC_OPTION_INT, FIELD(frames), .min = 1, .max = 1024, .help = "length of the video"},
    {.name = "size", .kind = VC_OPTION_SIZE, FIELD(size), .min = 8, .max = 8192, .help = "width and height in pixels"},
    {.name = "fps",
     .kind = VC_OPTION_FLOAT,
     FIELD(fps),
     .min = 0.1,
     .max = 240,
     .help = "frames a second: of the result, and at which videos are looked at (4 without it, as in training)"},
    {.name = "count",
     .letter = 'n',
     .kind = VC_OPTION_INT,
     FIELD(count),
     .min = 1,
     .max = 4096,
     .fallback = "1",
     .help = "videos, from consecutive seeds: out_0.gif, out_1.gif, ..., or all in one tensor file"},
    {.name = "init", .kind = VC_OPTION_STRING, FIELD(init), .value = "FILE", .help = "video to start from"},
    {.name = "init-strength",
     .kind = VC_OPTION_FLOAT,
     FIELD(init_strength),
     .max = 1,
     .fallback = "1",
     .help = "share of the steps that are made from the noised --init: 0.3 stays close to it, 1 keeps little"},
    {.name = "invert",
     .kind = VC_OPTION_FLAG,
     FIELD(invert),
     .help = "start from the noise that DDIM inversion finds for --init"},
    HEADING("Output"),
    {.name = "output",
     .letter = 'o',
     .kind = VC_OPTION_STRING,
     FIELD(output),
     .value = "FILE",
     .help =
         ".gif, .mp4, .webp, .png (a film strip), a folder (one PNG a frame), or .safetensors (tensors 'video' in 0..1 "
         "and 'latent', both [n c f h w])"},
    {.name = "like",
     .kind = VC_OPTION_STRING,
     FIELD(like),
     .value = "FILE",
     .help = "run the command again that FILE, an output, was made with; options given here come on top, and an empty "
             "value (--depth '') takes one back"},
    {.name = "show-conditions",
     .kind = VC_OPTION_FLAG,
     FIELD(show_conditions),
     .help = "put the conditions to the left of the result; into a tensor file as tensors 'condition/NAME'"},
    {.name = "preview",
     .kind = VC_OPTION_INT,
     FIELD(preview),
     .min = 0,
     .max = 1000,
     .fallback = "0",
     .help = "write a rough picture of the latent, OUTPUT.preview.png, every N steps; 0: none"},
    HEADING("Machine"),
    {.name = "model",
     .kind = VC_OPTION_STRING,
     FIELD(model),
     .value = "DIR",
     .help = "model folder; without it, the small model inside the program"},
    VC_MACHINE_OPTIONS(vc_generate_options, "auto"),
    {.name = "max-memory", .kind = VC_OPTION_BYTES, FIELD(max_memory), .help = "of weights and activations together"},
    {.name = "profile", .kind = VC_OPTION_FLAG, FIELD(profile), .help = "print time and memory of every phase"},
    {.name = "json", .kind = VC_OPTION_FLAG, FIELD(json), .help = "print one JSON object about the result"},
    {.name = "no-progress", .kind = VC_OPTION_FLAG, FIELD(no_progress), .help = "no progress bar"},
};

const vc_command_spec vc_generate_spec = {
    .name = "generate",
    .summary = "makes videos from a text and any combination of other conditions",
    .options = table,
    .option_count = sizeof table / sizeof *table,
    .example =
        "videocomposer generate --prompt 'a red circle over a white background' -o out.gif\n"
        "videocomposer generate --prompt 'a blue star' --depth depth.gif:0.8 --seed 7 --count 4 -o star.mp4\n"
        "videocomposer generate --prompt 'a ring' --video clip.mp4 --use motion,image -o moved.gif\n"
        "videocomposer generate --prompt 'a ring' --strokes '32,64 -> 96,64' --steps 50 -o frames/\n"
        "videocomposer generate --like out.gif --seed 8 -o again.gif",
    .notes =
        "Strokes: {\"canvas\": [256, 256], \"strokes\": [{\"points\": [[64, 128], [192, 128]], \"frames\": [0, 15],\n"
        "\"radius\": 24, \"strength\": 1}], \"background\": [0, 0]}. A stroke walks its path at constant speed between "
        "the\n"
        "two frames; what lies within half the radius of its point moves with it, and less and less from there to the\n"
        "rim; the rest moves by the background's pixels a frame.\n\n"
        "Every output records: command, seed, prompt, model, model_hash and version (the command as PNG text chunk, "
        "GIF\n"
        "or MP4 comment, WebP XMP or safetensors metadata). With --count, each file records the command that makes it\n"
        "alone.",
};

bool vc_generate_given(const vc_arguments *arguments, const char *name) {
  return vc_option_given(&vc_generate_spec, arguments, name);
}
