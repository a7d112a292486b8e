#include "server/rpc/submit_reader.h"

#include "absl/strings/str_cat.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/payload_segment.h"
#include "server/rpc/task_from_proto.h"

namespace prefork::rpc {
namespace {

// As task_service.proto says. A batch of small items must not stand for far more memory than it is.
constexpr size_t kMaxCopiedBytes = size_t{64} << 20;

absl::Status TooMuchCopied(int index) {
  FieldViolations violations;
  violations.Add("defaults",
                 absl::StrCat("its copies for items[0] to items[", index, "] are more than ",
                              kMaxCopiedBytes >> 20,
                              " MiB; send smaller batches, or the payload with each item"));
  return violations.ToStatus();
}

}  // namespace

SubmitVerdict SubmitReader::Read(v1::SubmitBatch* batch) {
  SubmitVerdict verdict;
  verdict.tasks.reserve(batch->items_size());
  const absl::StatusOr<SharedOptions> shared = OptionsOfDefaults(batch->defaults());
  const size_t defaults_bytes = batch->defaults().ByteSizeLong();
  size_t copied_bytes = 0;
  absl::Status too_much;
  const engine::TaskOptions* last_options = nullptr;  // of the task before
  for (int i = 0; i < batch->items_size(); ++i) {
    v1::SubmitItem* item = batch->mutable_items(i);
    copied_bytes += CopiedBytes(batch->defaults(), defaults_bytes, *item);
    if (copied_bytes > kMaxCopiedBytes) {
      if (too_much.ok()) too_much = TooMuchCopied(i);
      verdict.rejected.push_back({item->tag(), too_much});
      continue;
    }
    engine::TaskSubmission& task = verdict.tasks.emplace_back();
    task.tag = item->tag();
    absl::Status read = ReadItem(i, batch->defaults(), shared, last_options, item, &task);
    if (!read.ok()) {
      verdict.tasks.pop_back();
      verdict.rejected.push_back({item->tag(), std::move(read)});
    } else if (task.options != nullptr) {
      last_options = task.options.get();
    }
  }
  return verdict;
}

size_t SubmitReader::CopiedBytes(const v1::TaskSpec& defaults, size_t defaults_bytes,
                                 const v1::SubmitItem& item) {
  // A command is a part of its task's payload.
  if (item.has_spec() || defaults.has_command()) return defaults_bytes;
  return item.payload().empty() ? defaults.payload().size() : 0;
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
                                    const engine::TaskOptions* last_options, v1::SubmitItem* item,
                                    engine::TaskSubmission* out) {
  if (!item->has_spec()) {
    if (!shared.ok()) return shared.status();
    if (!defaults.request_id().empty()) {
      FieldViolations violations;
      violations.Add("defaults.request_id", "names one task; set it in the item's spec");
      return violations.ToStatus();
    }
    if (shared->get() != last_options) out->options = *shared;
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
  if (item->has_payload_segment()) {
    return SetPayloadFrom(item->payload_segment(), absl::StrCat("items[", index, "]."), out);
  }
  if (item->spec().has_payload_segment()) {
    return SetPayloadFrom(item->spec().payload_segment(), absl::StrCat("items[", index, "].spec."),
                          out);
  }
  if (spec.has_payload_segment() && item->payload().empty()) {
    if (spec.payload_segment().give()) {
      return Violation("defaults.payload_segment.give", "can't be for all items; give it to one");
    }
    return SetPayloadFrom(spec.payload_segment(), "defaults.", out);
  }
  std::string payload = std::move(*item->mutable_payload());
  if (payload.empty()) payload = PayloadOf(spec);
  if (payload.size() <= engine_->options().inline_threshold_bytes) {
    out->payload = engine::Bytes(std::move(payload));
    return absl::OkStatus();
  }
  absl::Status size = CheckPayloadSize(payload.size(), engine_->options().max_payload_bytes,
                                       absl::StrCat("items[", index, "].payload"));
  if (!size.ok()) return size;
  absl::StatusOr<engine::Bytes> packed = engine_->Pack(std::move(payload), uid_);
  if (!packed.ok()) return packed.status();
  out->payload = *std::move(packed);
  return absl::OkStatus();
}

absl::Status SubmitReader::SetPayloadFrom(const v1::PayloadSegment& place, const std::string& path,
                                          engine::TaskSubmission* out) {
  absl::Status size = CheckPayloadSize(place.size_bytes(), engine_->options().max_payload_bytes,
                                       path + "payload_segment.size_bytes");
  if (!size.ok()) return size;
  absl::StatusOr<engine::Bytes> payload = TakePayload(place, leases_, uid_, path);
  if (!payload.ok()) return payload.status();
  out->payload = *std::move(payload);
  return absl::OkStatus();
}

}  // namespace prefork::rpc
