#include "cli/plan_savings.h"

vc_plan_work vc_plan_work_of(const vc_plan *plan, int from, int to) {
  vc_plan_work work = {.ops = to - from};
  for (int i = from; i < to; i++) {
    work.flops += plan->op[i].flops;
    work.bytes += plan->op[i].bytes;
  }
  return work;
}

static vc_plan_work less(vc_plan_work a, vc_plan_work b) {
  return (vc_plan_work){a.ops - b.ops, a.flops - b.flops, a.bytes - b.bytes};
}

static vc_status make(vc_plan **out, const vc_plan *like, vc_plan_network network, const vc_model_config *config,
                      const vc_plan_shape *shape, bool no_fold, vc_error *error) {
  vc_graph *graph;
  vc_plan_options o = {
      .backend = like->backend, .device = like->device, .dtype = like->weight_dtype, .no_fold = no_fold};
  vc_status status = vc_plan_describe(&graph, network, config, shape, error);
  return status ? status : vc_plan_new(out, graph, &o, error);
}

vc_status vc_plan_savings_of(vc_plan_savings *out, const vc_plan *plan, vc_plan_network network,
                             const vc_model_config *config, const vc_plan_shape *shape, vc_error *error) {
  vc_plan *unfolded = NULL, *single = NULL;
  vc_plan_shape one = *shape;
  one.steps = 1;  // its prologue is what every step would have to do without one
  vc_status status = make(&unfolded, plan, network, config, shape, true, error);
  if (!status) status = make(&single, plan, network, config, &one, false, error);
  if (!status) {
    vc_plan_work once = vc_plan_work_of(plan, 0, plan->prologue_ops);
    out->folded = less(vc_plan_work_of(unfolded, unfolded->prologue_ops, unfolded->ops),
                       vc_plan_work_of(plan, plan->prologue_ops, plan->ops));
    out->moved = vc_plan_work_of(single, 0, single->prologue_ops);
    out->video = out->moved;
    out->video.ops *= (int)shape->steps;
    out->video.flops *= (double)shape->steps;
    out->video.bytes *= (double)shape->steps;
    out->video = less(out->video, once);
  }
  vc_plan_free(unfolded);
  vc_plan_free(single);
  return status;
}
