#include "server/rpc/submit_reader.h"

#include "absl/strings/str_cat.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/task_from_proto.h"

namespace prefork::rpc {

SubmitVerdict SubmitReader::Read(v1::SubmitBatch* batch) {
  SubmitVerdict verdict;
  verdict.tasks.reserve(batch->items_size());
  const absl::StatusOr<SharedOptions> shared = OptionsOfDefaults(batch->defaults());
  for (int i = 0; i < batch->items_size(); ++i) {
    v1::SubmitItem* item = batch->mutable_items(i);
    engine::TaskSubmission& task = verdict.tasks.emplace_back();
    task.tag = item->tag();
    absl::Status read = ReadItem(i, batch->defaults(), shared, item, &task);
    if (!read.ok()) {
      verdict.tasks.pop_back();
      verdict.rejected.emplace_back(item->tag(), std::move(read));
    }
  }
  return verdict;
}

absl::StatusOr<SubmitReader::SharedOptions> SubmitReader::OptionsOfDefaults(
    const v1::TaskSpec& defaults) {
  std::string key = defaults.SerializePartialAsString();
  if (cached_options_ != nullptr && key == cached_defaults_) return cached_options_;
  absl::StatusOr<SharedOptions> options = ReadTaskOptions(defaults, "defaults.");
  if (options.ok()) {
    cached_defaults_ = std::move(key);
    cached_options_ = *options;
  }
  return options;
}

absl::Status SubmitReader::ReadItem(int index, const v1::TaskSpec& defaults,
                                    const absl::StatusOr<SharedOptions>& shared,
                                    v1::SubmitItem* item, engine::TaskSubmission* out) {
  if (!item->has_spec()) {
    if (!shared.ok()) return shared.status();
    if (!defaults.request_id().empty()) {
      FieldViolations violations;
      violations.Add("defaults.request_id", "names one task; set it in the item's spec");
      return violations.ToStatus();
    }
    out->options = *shared;
    return SetPayload(defaults, index, item, out);
  }

  v1::TaskSpec spec = MergeTaskSpecs(defaults, item->spec());
  const std::string path = absl::StrCat("items[", index, "].spec.");
  absl::Status request_id = CheckRequestId(spec.request_id(), path);
  if (!request_id.ok()) return request_id;
  absl::StatusOr<SharedOptions> options = ReadTaskOptions(spec, path);
  if (!options.ok()) return options.status();
  out->options = *std::move(options);
  out->request_id = std::move(*spec.mutable_request_id());
  return SetPayload(spec, index, item, out);
}

absl::Status SubmitReader::SetPayload(const v1::TaskSpec& spec, int index, v1::SubmitItem* item,
                                      engine::TaskSubmission* out) {
  std::string payload =
      item->payload().empty() ? PayloadOf(spec) : std::move(*item->mutable_payload());
  if (payload.size() <= engine_->options().inline_threshold_bytes) {
    out->payload = engine::Bytes(std::move(payload));
    return absl::OkStatus();
  }
  const absl::Status size = CheckPayloadSize(payload.size(), engine_->options().max_payload_bytes,
                                             absl::StrCat("items[", index, "].payload"));
  if (!size.ok()) return size;
  absl::StatusOr<engine::Bytes> packed = engine_->Pack(std::move(payload), uid_);
  if (packed.ok()) out->payload = *std::move(packed);
  return packed.status();
}

}  // namespace prefork::rpc
