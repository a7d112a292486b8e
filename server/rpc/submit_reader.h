#ifndef PREFORK_SERVER_RPC_SUBMIT_READER_H_
#define PREFORK_SERVER_RPC_SUBMIT_READER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefork/v1/task_service.pb.h"
#include "server/engine/engine.h"
#include "server/engine/segment_leases.h"

namespace prefork::rpc {

// What became of one SubmitBatch.
struct SubmitVerdict {
  std::vector<engine::TaskSubmission> tasks;
  std::vector<engine::Rejection> rejected;
};

// Turns the batches of one session into submissions. All items of a batch without a spec of their own
// share one TaskOptions, and so do successive batches with equal defaults: a million tasks sent one by
// one cost one. Thread-compatible; meant for the session's read reactions.
class SubmitReader {
 public:
  // `engine` is not owned; only its thread-safe methods are used. `leases` (not owned, may be null)
  // are what clients name their segments from. `uid` owns the payloads.
  SubmitReader(engine::Engine* engine, engine::SegmentLeases* leases, uint32_t uid)
      : engine_(engine), leases_(leases), uid_(uid) {}

  // Payloads are moved out of `batch`.
  SubmitVerdict Read(v1::SubmitBatch* batch);

 private:
  using SharedOptions = std::shared_ptr<const engine::TaskOptions>;

  // What the item takes from the defaults, beyond what all items share.
  static size_t CopiedBytes(const v1::TaskSpec& defaults, size_t defaults_bytes,
                            const v1::SubmitItem& item);
  absl::StatusOr<SharedOptions> OptionsOfDefaults(const v1::TaskSpec& defaults);
  absl::Status ReadItem(int index, const v1::TaskSpec& defaults,
                        const absl::StatusOr<SharedOptions>& shared,
                        const engine::TaskOptions* last_options, v1::SubmitItem* item,
                        engine::TaskSubmission* out);
  absl::Status SetPayload(const v1::TaskSpec& spec, int index, v1::SubmitItem* item,
                          engine::TaskSubmission* out);
  absl::Status SetPayloadFrom(const v1::PayloadSegment& place, const std::string& path,
                              engine::TaskSubmission* out);

  engine::Engine* const engine_;
  engine::SegmentLeases* const leases_;
  const uint32_t uid_;
  std::string cached_defaults_;  // serialised
  SharedOptions cached_options_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SUBMIT_READER_H_
