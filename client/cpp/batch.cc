#include "client/cpp/batch.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <array>
#include <cstring>

#include "prefork/v1/task_service.pb.h"

namespace prefork::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

constexpr uint32_t LengthDelimited(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}
constexpr uint32_t kItemsKey = LengthDelimited(v1::SubmitBatch::kItemsFieldNumber);
constexpr uint32_t kDefaultsKey = LengthDelimited(v1::SubmitBatch::kDefaultsFieldNumber);
constexpr uint32_t kSubmitKey = LengthDelimited(v1::SessionRequest::kSubmitFieldNumber);
constexpr uint32_t kTagKey =
    WireFormatLite::MakeTag(v1::SubmitItem::kTagFieldNumber, WireFormatLite::WIRETYPE_VARINT);
constexpr uint32_t kPayloadKey = LengthDelimited(v1::SubmitItem::kPayloadFieldNumber);
constexpr uint32_t kSpecKey = LengthDelimited(v1::SubmitItem::kSpecFieldNumber);
constexpr uint32_t kPlaceKey = LengthDelimited(v1::SubmitItem::kPayloadSegmentFieldNumber);
constexpr uint32_t kRequestIdKey = LengthDelimited(v1::TaskSpec::kRequestIdFieldNumber);
// A key of one byte and a length of at most five, four times; and a tag.
constexpr size_t kMaxItemHeader = 48;

size_t FieldSize(size_t length) { return 1 + CodedOutputStream::VarintSize64(length) + length; }

uint8_t* PutField(uint32_t key, size_t length, uint8_t* out) {
  out = CodedOutputStream::WriteTagToArray(key, out);
  return CodedOutputStream::WriteVarint64ToArray(length, out);
}

uint8_t* PutBytes(std::string_view bytes, uint8_t* out) {
  std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

}  // namespace

void Batch::Add(uint64_t tag, std::string_view payload, std::string_view request_id,
                std::string_view place) {
  if (items_++ == 0) first_tag_ = tag;
  last_tag_ = tag;
  const size_t spec_size = request_id.empty() ? 0 : FieldSize(request_id.size());
  size_t size = 1 + CodedOutputStream::VarintSize64(tag);
  if (!payload.empty()) size += FieldSize(payload.size());
  if (spec_size != 0) size += FieldSize(spec_size);
  if (!place.empty()) size += FieldSize(place.size());

  const size_t start = bytes_->size();
  bytes_->resize(start + kMaxItemHeader + payload.size() + request_id.size() + place.size());
  auto* const begin = reinterpret_cast<uint8_t*>(bytes_->data());
  uint8_t* out = PutField(kItemsKey, size, begin + start);
  out = CodedOutputStream::WriteTagToArray(kTagKey, out);
  out = CodedOutputStream::WriteVarint64ToArray(tag, out);
  if (!payload.empty()) out = PutBytes(payload, PutField(kPayloadKey, payload.size(), out));
  if (spec_size != 0) {
    out = PutField(kSpecKey, spec_size, out);
    out = PutBytes(request_id, PutField(kRequestIdKey, request_id.size(), out));
  }
  if (!place.empty()) out = PutBytes(place, PutField(kPlaceKey, place.size(), out));
  bytes_->resize(static_cast<size_t>(out - begin));
}

grpc::ByteBuffer Batch::ToRequest() const {
  const size_t defaults_size = FieldSize(spec_->bytes.size());
  std::string head(2 * kMaxItemHeader + spec_->bytes.size(), '\0');
  auto* const begin = reinterpret_cast<uint8_t*>(head.data());
  uint8_t* out = PutField(kSubmitKey, defaults_size + bytes_->size(), begin);
  out = PutBytes(spec_->bytes, PutField(kDefaultsKey, spec_->bytes.size(), out));
  head.resize(static_cast<size_t>(out - begin));

  auto* const shared = new std::shared_ptr<std::string>(bytes_);
  const std::array<grpc::Slice, 2> slices = {
      grpc::Slice(head),
      grpc::Slice((*shared)->data(), (*shared)->size(),
                  [](void* owner) { delete static_cast<std::shared_ptr<std::string>*>(owner); },
                  shared)};
  return {slices.data(), slices.size()};
}

std::vector<BatchItem> Batch::Decode() const {
  v1::SubmitBatch parsed;
  std::vector<BatchItem> items;
  if (!parsed.ParseFromString(*bytes_)) return items;
  items.reserve(items_);
  for (v1::SubmitItem& item : *parsed.mutable_items()) {
    items.push_back({.tag = item.tag(),
                     .payload = std::move(*item.mutable_payload()),
                     .request_id = item.spec().request_id(),
                     .in_segment = item.has_payload_segment()});
  }
  return items;
}

}  // namespace prefork::client
