#ifndef PREFORK_SERVER_RPC_WIRE_WRITER_H_
#define PREFORK_SERVER_RPC_WIRE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace prefork::rpc {

// Writes Protobuf's wire format field by field, for the few messages that are made by the million or
// that carry a megabyte by reference. Fields with their default value are left out, as in proto3.
class WireWriter {
 public:
  void Uint64Field(int field, uint64_t value) {
    if (value == 0) return;
    Tag(field, kVarint);
    Varint(value);
  }
  void BytesField(int field, std::string_view bytes) {
    if (bytes.empty()) return;
    LengthPrefix(field, bytes.size());
    out_.append(bytes);
  }
  // The head of a length-delimited field, whose `size` bytes the caller adds.
  void LengthPrefix(int field, size_t size) {
    Tag(field, kLengthDelimited);
    Varint(size);
  }
  void Raw(std::string_view bytes) { out_.append(bytes); }

  // What the methods above will write.
  static constexpr size_t VarintSize(uint64_t value) {
    size_t size = 1;
    while (value >= 0x80) {
      value >>= 7;
      ++size;
    }
    return size;
  }
  static constexpr size_t Uint64FieldSize(int field, uint64_t value) {
    return value == 0 ? 0 : TagSize(field) + VarintSize(value);
  }
  static constexpr size_t MessageFieldSize(int field, size_t size) {
    return TagSize(field) + VarintSize(size) + size;
  }
  static constexpr size_t BytesFieldSize(int field, size_t size) {
    return size == 0 ? 0 : MessageFieldSize(field, size);
  }

  size_t size() const { return out_.size(); }
  bool empty() const { return out_.empty(); }
  std::string Take() { return std::exchange(out_, {}); }

 private:
  enum WireType { kVarint = 0, kLengthDelimited = 2 };

  static constexpr size_t TagSize(int field) {
    return VarintSize(static_cast<uint64_t>(field) << 3);
  }
  void Tag(int field, WireType type) { Varint((static_cast<uint64_t>(field) << 3) | type); }
  void Varint(uint64_t value) {
    char bytes[10];
    size_t size = 0;
    while (value >= 0x80) {
      bytes[size++] = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    bytes[size++] = static_cast<char>(value);
    out_.append(bytes, size);
  }

  std::string out_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_WIRE_WRITER_H_
