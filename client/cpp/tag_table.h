#ifndef PREFORK_CLIENT_CPP_TAG_TABLE_H_
#define PREFORK_CLIENT_CPP_TAG_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "client/cpp/task_record.h"

namespace prefork::client::internal {

// The unfinished tasks of a session by their tags, which count up from 0. In pages of consecutive
// tags: look-ups are array accesses, and a page goes when its last task has ended, so one long task
// does not keep the places of all that came after it. Thread-compatible.
class TagTable {
 public:
  // `tag` is not in the table.
  void Add(uint64_t tag, RecordPtr record) {
    Page* page = FindPage(tag / kPage);
    if (page == nullptr) page = AddPage(tag / kPage);
    page->records[tag % kPage] = std::move(record);
    ++page->used;
  }
  // Null when there is no such task (any more).
  TaskRecord* Find(uint64_t tag) const {
    const Page* const page = FindPage(tag / kPage);
    return page == nullptr ? nullptr : page->records[tag % kPage].get();
  }
  // Null when there is none.
  RecordPtr Remove(uint64_t tag) {
    Page* const page = FindPage(tag / kPage);
    if (page == nullptr || page->records[tag % kPage] == nullptr) return {};
    RecordPtr record = std::move(page->records[tag % kPage]);
    if (--page->used == 0) RemovePage(tag / kPage);
    return record;
  }
  // Calls `visit(const RecordPtr&)` for each in the order of tags. `visit` must not change the
  // table.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& [number, page] : pages_) {
      for (const RecordPtr& record : page->records) {
        if (record != nullptr) visit(record);
      }
    }
  }

 private:
  static constexpr size_t kPage = 1024;
  struct Page {
    std::array<RecordPtr, kPage> records;
    size_t used = 0;
  };

  Page* FindPage(uint64_t number) const {
    if (number == last_number_) return last_page_;
    const auto found = pages_.find(number);
    if (found == pages_.end()) return nullptr;
    last_number_ = number;
    return last_page_ = found->second.get();
  }
  Page* AddPage(uint64_t number) {
    // A task at a time would otherwise allocate a page each time.
    auto page = spare_ != nullptr ? std::move(spare_) : std::make_unique<Page>();
    last_number_ = number;
    return last_page_ = pages_.emplace(number, std::move(page)).first->second.get();
  }
  void RemovePage(uint64_t number) {
    const auto page = pages_.find(number);
    spare_ = std::move(page->second);
    pages_.erase(page);
    last_number_ = UINT64_MAX;
  }

  absl::btree_map<uint64_t, std::unique_ptr<Page>> pages_;
  std::unique_ptr<Page> spare_;
  mutable uint64_t last_number_ = UINT64_MAX;  // of last_page_
  mutable Page* last_page_ = nullptr;
};

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_TAG_TABLE_H_
