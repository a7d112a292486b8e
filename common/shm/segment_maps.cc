// Mappings that outlive their lease.
//
//   Map(fd) --> kept, by inode and access? --yes--> the pages are there: nothing to do
//                       | no                                   |
//                       --> mmap, fault in what will be written +--> in use --Keep--> kept
//
// A segment's ID is new with each lease while its memory comes again and again; what tells memory
// is the inode of its memfd. A kept mapping keeps the inode, so no other file can get its number.
//
// A kept mapping costs address space and no memory: when the daemon frees a segment, it punches the
// pages out of the file, whoever has it mapped (segment.cc). Nobody may touch a kept mapping all the
// same, since its pages may be somebody else's payload by then.
#include "common/shm/segment_maps.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/memfd.h"

namespace prefork::shm {

absl::StatusOr<SegmentMap> SegmentMaps::Map(int fd, uint64_t least_bytes,
                                            os::Mapping::Access access, size_t write_bytes) {
  const absl::StatusOr<uint64_t> file_bytes = os::CheckSealedMemfd(fd);
  if (!file_bytes.ok()) return file_bytes.status();
  if (*file_bytes < least_bytes || *file_bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a segment of ", least_bytes, " bytes came as a file of ", *file_bytes));
  }
  struct stat file;
  if (fstat(fd, &file) != 0) return os::ErrnoStatus(errno, absl::StrCat("fstat of ", fd));
  {
    absl::MutexLock lock(&mutex_);
    for (auto kept = kept_.rbegin(); kept != kept_.rend(); ++kept) {
      if (kept->inode_ != file.st_ino || kept->device_ != file.st_dev || kept->access_ != access) {
        continue;
      }
      SegmentMap map = std::move(*kept);
      kept_.erase(std::next(kept).base());
      kept_bytes_ -= map.size();
      return map;
    }
  }
  absl::StatusOr<os::Mapping> mapping = os::Mapping::Create(fd, *file_bytes, access);
  if (!mapping.ok()) return mapping.status();
  if (write_bytes > 0) mapping->Populate(write_bytes);
  SegmentMap map;
  map.device_ = file.st_dev;
  map.inode_ = file.st_ino;
  map.access_ = access;
  map.mapping_ = *std::move(mapping);
  return map;
}

void SegmentMaps::Keep(SegmentMap map) {
  std::deque<SegmentMap> doomed;  // unmapped after the lock is gone
  absl::MutexLock lock(&mutex_);
  kept_bytes_ += map.size();
  kept_.push_back(std::move(map));
  while (kept_.size() > max_kept_ || kept_bytes_ > max_kept_bytes_) {
    kept_bytes_ -= kept_.front().size();
    doomed.push_back(std::move(kept_.front()));
    kept_.pop_front();
  }
}

size_t SegmentMaps::kept_bytes() const {
  absl::MutexLock lock(&mutex_);
  return kept_bytes_;
}

}  // namespace prefork::shm
