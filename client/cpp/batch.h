#ifndef PREFORK_CLIENT_CPP_BATCH_H_
#define PREFORK_CLIENT_CPP_BATCH_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prefork::client {

// A spec without payload and request ID, encoded once for all tasks that share it.
struct EncodedSpec {
  std::string bytes;  // a v1::TaskSpec
  bool detached = false;
};

// One submit of a batch, as read back for a second session.
struct BatchItem {
  uint64_t tag = 0;
  std::string payload;
  std::string request_id;
  bool in_segment = false;  // the payload; `payload` is empty
};

// A SubmitBatch in the making, held in its wire form: adding a task appends a few bytes and the
// payload, and sending hands the bytes to gRPC without another copy. See proto/prefork/v1/
// task_service.proto for the messages; batch_test.cc holds this encoding against the generated one.
class Batch {
 public:
  static constexpr size_t kMaxItems = 1000;
  static constexpr size_t kMaxBytes = size_t{256} << 10;

  explicit Batch(std::shared_ptr<const EncodedSpec> spec) : spec_(std::move(spec)) {}

  const std::shared_ptr<const EncodedSpec>& spec() const { return spec_; }
  bool full() const { return items_ >= kMaxItems || bytes_->size() >= kMaxBytes; }
  size_t items() const { return items_; }
  uint64_t first_tag() const { return first_tag_; }
  uint64_t last_tag() const { return last_tag_; }

  // `place` is a v1::PayloadSegment instead of the payload, or empty. REQUIRES: `tag` follows the tag
  // added before.
  void Add(uint64_t tag, std::string_view payload, std::string_view request_id,
           std::string_view place = {});

  // A SessionRequest with this batch. It shares the items' bytes, so nothing may be added after.
  grpc::ByteBuffer ToRequest() const;

  std::vector<BatchItem> Decode() const;

 private:
  std::shared_ptr<const EncodedSpec> spec_;
  std::shared_ptr<std::string> bytes_ = std::make_shared<std::string>();
  size_t items_ = 0;
  uint64_t first_tag_ = 0;
  uint64_t last_tag_ = 0;
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_BATCH_H_
