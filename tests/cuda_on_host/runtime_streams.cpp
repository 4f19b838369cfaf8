// Stand-ins for calls of the CUDA runtime: streams, events, graphs.
#include <string.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include "runtime_calls.h"

using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
  bool alive = true;
  std::shared_ptr<Work> work = std::make_shared<Work>();
};

struct CUgraphExec_st {
  bool alive = true;
  std::shared_ptr<Work> work;
};

struct CUstream_st {
  bool alive = true, blocking = false;
  std::deque<std::function<void()>> queue;
  uint64_t enqueued = 0, done = 0;
  CUgraph_st *recording = nullptr;  // being captured
  bool invalidated = false;
  std::thread::id owner;  // who began the capture
};

struct CUevent_st {
  bool alive = true, timing = true, recorded = false, captured = false;
  CUstream_st *stream = nullptr;
  uint64_t position = 0;  // of the record among the stream's operations
  uint64_t happened = 0;  // after how many nanoseconds of work
};

namespace cuda_on_host {
static std::atomic<uint64_t> spent;

void spend(uint64_t nanoseconds) {
  spent += nanoseconds;
}

static Handles<CUgraph_st> &graphs() {
  static auto *all = new Handles<CUgraph_st>;
  return *all;
}
static Handles<CUgraphExec_st> &execs() {
  static auto *all = new Handles<CUgraphExec_st>;
  return *all;
}
static Handles<CUevent_st> &events() {
  static auto *all = new Handles<CUevent_st>;
  return *all;
}
static Handles<CUstream_st> &streams() {
  static auto *all = new Handles<CUstream_st>;
  return *all;
}

// Streams that synchronise with the default stream are one with it here: that order is always allowed.
static CUstream_st default_stream;
static std::recursive_mutex mutex;                // of all queues
static std::vector<CUstream_st *> queued;         // with work that waits
static thread_local CUstream_st *capturing_here;  // by this thread

static CUstream_st *queue_of(cudaStream_t stream) {
  return !stream || stream->blocking ? &default_stream : stream;
}

static bool lives(cudaStream_t stream) {
  return !stream || streams().lives(stream);
}

static void finish(CUstream_st *stream, uint64_t position) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  while (stream->done < position && !stream->queue.empty()) {
    std::function<void()> work = std::move(stream->queue.front());
    stream->queue.pop_front();
    stream->done++;
    work();
  }
}

cudaError_t finish_stream(cudaStream_t stream) {
  if (!lives(stream)) return cudaErrorInvalidResourceHandle;
  CUstream_st *queue = queue_of(stream);
  finish(queue, queue->enqueued);
  return cudaSuccess;
}

void finish_all() {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  while (!queued.empty()) {
    CUstream_st *stream = queued.back();
    finish(stream, stream->enqueued);
    queued.erase(std::remove(queued.begin(), queued.end(), stream), queued.end());
  }
}

cudaError_t not_in_capture() {
  if (!capturing_here) return cudaSuccess;
  capturing_here->invalidated = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  if (!lives(stream)) return noted(cudaErrorInvalidResourceHandle);
  if (stream && stream->recording) {
    if (stream->invalidated) return noted(cudaErrorStreamCaptureInvalidated);
    stream->recording->work->push_back(std::move(work));
    return cudaSuccess;
  }
  if (capturing_here && capturing_here->blocking && queue_of(stream) == &default_stream) {
    capturing_here->invalidated = true;
    return noted(cudaErrorStreamCaptureImplicit);
  }
  CUstream_st *queue = queue_of(stream);
  std::unique_lock<std::recursive_mutex> lock(mutex);
  queue->enqueued++;
  if (!asynchronous() && queue->queue.empty()) {
    queue->done++;
    lock.unlock();
    work();
    return cudaSuccess;
  }
  queue->queue.push_back(std::move(work));
  if (std::find(queued.begin(), queued.end(), queue) == queued.end()) queued.push_back(queue);
  if (!asynchronous()) finish(queue, queue->enqueued);
  return cudaSuccess;
}

static cudaError_t synchronize(const char *call, cudaStream_t stream) {
  cudaError_t error = injected(call, cudaErrorUnknown);
  if (error == cudaSuccess && !lives(stream)) error = cudaErrorInvalidResourceHandle;
  if (error == cudaSuccess) error = not_in_capture();
  if (error == cudaSuccess) error = finish_stream(stream);
  return error;
}

// The usual beginning of a call on an event.
static cudaError_t check_event(const char *call, cudaEvent_t event) {
  cudaError_t error = injected(call, cudaErrorUnknown);
  if (error != cudaSuccess) return error;
  return events().lives(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

static bool has_happened(const CUevent_st *event) {
  return !event->recorded || event->stream->done >= event->position;
}
}  // namespace cuda_on_host

using namespace cuda_on_host;

extern "C" {
// ---- streams

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  cudaError_t error = injected(__func__, cudaErrorMemoryAllocation);
  if (error != cudaSuccess) return noted(error);
  *stream = streams().make();
  (*stream)->blocking = !(flags & cudaStreamNonBlocking);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaError_t error = injected(__func__, cudaErrorUnknown);
  if (error == cudaSuccess && (!stream || !lives(stream))) error = cudaErrorInvalidResourceHandle;
  if (error == cudaSuccess && stream->recording) error = cudaErrorStreamCaptureUnsupported;
  if (error == cudaSuccess) error = finish_stream(stream);
  if (error == cudaSuccess) stream->alive = false;
  return noted(error);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return noted(synchronize(__func__, stream));
}

cudaError_t cudaDeviceSynchronize() {
  cudaError_t error = synchronize(__func__, nullptr);
  if (error == cudaSuccess) finish_all();
  return noted(error);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (!lives(stream)) return noted(cudaErrorInvalidResourceHandle);
  return queue_of(stream)->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  cudaError_t error = check_event(__func__, event);
  if (error != cudaSuccess) return noted(error);
  if (!lives(stream)) return noted(cudaErrorInvalidResourceHandle);
  if (stream && stream->recording) return noted(event->captured ? cudaSuccess : cudaErrorStreamCaptureIsolation);
  if (event->captured) return noted(cudaErrorCapturedEvent);
  if (!event->recorded) return cudaSuccess;
  CUstream_st *other = event->stream;
  uint64_t position = event->position;
  return enqueue(stream, [=] { finish(other, position); });
}

// ---- events

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  cudaError_t error = injected(__func__, cudaErrorMemoryAllocation);
  if (error != cudaSuccess) return noted(error);
  *event = events().make();
  (*event)->timing = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  cudaError_t error = check_event(__func__, event);
  if (error == cudaSuccess) event->alive = false;
  return noted(error);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  cudaError_t error = check_event(__func__, event);
  if (error == cudaSuccess && !lives(stream)) error = cudaErrorInvalidResourceHandle;
  if (error != cudaSuccess) return noted(error);
  event->captured = stream && stream->recording;
  if (event->captured) return cudaSuccess;
  event->stream = queue_of(stream);
  event->recorded = true;
  event->position = event->stream->enqueued + 1;
  return enqueue(stream, [=] { event->happened = spent; });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  cudaError_t error = check_event(__func__, event);
  if (error == cudaSuccess && event->captured) error = cudaErrorCapturedEvent;
  if (error == cudaSuccess) error = not_in_capture();
  if (error == cudaSuccess && event->recorded) finish(event->stream, event->position);
  return noted(error);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  cudaError_t error = check_event(__func__, event);
  if (error == cudaSuccess && event->captured) error = cudaErrorCapturedEvent;
  if (error == cudaSuccess && !has_happened(event)) error = cudaErrorNotReady;
  return noted(error);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
  cudaError_t error = check_event(__func__, start);
  if (error == cudaSuccess && !events().lives(end)) error = cudaErrorInvalidResourceHandle;
  if (error == cudaSuccess && !(start->timing && end->timing && start->recorded && end->recorded))
    error = cudaErrorInvalidResourceHandle;
  if (error == cudaSuccess && !(has_happened(start) && has_happened(end))) error = cudaErrorNotReady;
  const char *clock = getenv("CUDA_ON_HOST_CLOCK");
  if (error == cudaSuccess)
    *milliseconds = clock && !strcmp(clock, "work")   ? (float)(end->happened - start->happened) * 1e-6f
                    : end->position > start->position ? 10.0f
                                                      : 0.0f;
  return noted(error);
}

// ---- graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
  cudaError_t error = injected(__func__, cudaErrorUnknown);
  if (error == cudaSuccess && !lives(stream)) error = cudaErrorInvalidResourceHandle;
  if (error == cudaSuccess && !stream) error = cudaErrorStreamCaptureUnsupported;
  if (error == cudaSuccess && stream->recording) error = cudaErrorIllegalState;
  if (error != cudaSuccess) return noted(error);
  stream->recording = graphs().make();
  stream->invalidated = false;
  stream->owner = std::this_thread::get_id();
  if (mode != cudaStreamCaptureModeRelaxed) capturing_here = stream;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  *graph = nullptr;
  cudaError_t error = injected(__func__, cudaErrorUnknown);
  if (!stream || !lives(stream) || !stream->recording) return noted(cudaErrorIllegalState);
  if (stream->owner != std::this_thread::get_id()) return noted(cudaErrorStreamCaptureWrongThread);
  if (error == cudaSuccess && stream->invalidated) error = cudaErrorStreamCaptureInvalidated;
  if (error == cudaSuccess)
    *graph = stream->recording;
  else
    stream->recording->alive = false;
  stream->recording = nullptr;
  if (capturing_here == stream) capturing_here = nullptr;
  return noted(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  if (!lives(stream)) return noted(cudaErrorInvalidResourceHandle);
  *status = !stream || !stream->recording ? cudaStreamCaptureStatusNone
            : stream->invalidated         ? cudaStreamCaptureStatusInvalidated
                                          : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
  *exec = nullptr;
  cudaError_t error = injected(__func__, cudaErrorMemoryAllocation);
  if (error == cudaSuccess && !graphs().lives(graph)) error = cudaErrorInvalidValue;
  if (error != cudaSuccess) return noted(error);
  *exec = execs().make();
  (*exec)->work = graph->work;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
  if (!graphs().lives(graph) || nodes) return noted(cudaErrorInvalidValue);
  *count = graph->work->size();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  cudaError_t error = injected(__func__, cudaErrorUnknown);
  if (error == cudaSuccess && !graphs().lives(graph)) error = cudaErrorInvalidValue;
  if (error != cudaSuccess) return noted(error);
  graph->alive = false;
  graph->work.reset();
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  return noted(!lives(stream)        ? cudaErrorInvalidResourceHandle
               : execs().lives(exec) ? cudaSuccess
                                     : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  cudaError_t error = injected(__func__, cudaErrorUnknown);
  if (error == cudaSuccess && !execs().lives(exec)) error = cudaErrorInvalidValue;
  if (error != cudaSuccess) return noted(error);
  std::shared_ptr<Work> work = exec->work;
  return enqueue(stream, [work] {
    for (auto &one : *work) one();
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  cudaError_t error = injected(__func__, cudaErrorUnknown);
  if (error == cudaSuccess && !execs().lives(exec)) error = cudaErrorInvalidValue;
  if (error != cudaSuccess) return noted(error);
  exec->alive = false;
  exec->work.reset();
  return cudaSuccess;
}
}
