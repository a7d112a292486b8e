#include "server/rpc/status_mapping.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"
#include "server/rpc/field_violations.h"

namespace prefork::rpc {
namespace {

template <typename T>
bool FindDetail(const google::rpc::Status& status, T* out) {
  for (const google::protobuf::Any& any : status.details()) {
    if (any.UnpackTo(out)) return true;
  }
  return false;
}

TEST(StatusMappingTest, OkStaysOk) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok()); }

TEST(StatusMappingTest, EveryErrorNamesDomainAndReason) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "words");
    google::rpc::ErrorInfo info;
    const google::rpc::Status mapped = ToRpcStatus(status);
    ASSERT_TRUE(FindDetail(mapped, &info)) << code;
    EXPECT_EQ(mapped.code(), code);
    EXPECT_EQ(info.domain(), "prefork");
    EXPECT_EQ(info.reason(), absl::StatusCodeToString(status.code()));
  }
}

TEST(StatusMappingTest, ReasonAndResourceOfTheEngineArePassedOn) {
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(
      FindDetail(ToRpcStatus(engine::MakeError(absl::StatusCode::kNotFound,
                                               engine::reason::kPoolNotFound, "no pool 'x'", "x")),
                 &info));
  EXPECT_EQ(info.reason(), "POOL_NOT_FOUND");
  EXPECT_EQ(info.metadata().at("resource"), "x");
}

TEST(StatusMappingTest, UnavailableSaysWhenToComeBack) {
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(FindDetail(ToRpcStatus(absl::UnavailableError("draining")), &retry));
  EXPECT_GT(retry.retry_delay().seconds() + retry.retry_delay().nanos(), 0);
}

TEST(StatusMappingTest, WrongStateNamesThePrecondition) {
  google::rpc::PreconditionFailure failure;
  ASSERT_TRUE(FindDetail(
      ToRpcStatus(engine::MakeError(absl::StatusCode::kFailedPrecondition,
                                    engine::reason::kPoolBusy, "3 tasks are unfinished", "numpy")),
      &failure));
  EXPECT_EQ(failure.violations(0).type(), "POOL_HAS_UNFINISHED_TASKS");
  EXPECT_EQ(failure.violations(0).subject(), "numpy");
}

TEST(StatusMappingTest, WhateverTheTextItFitsATrailerAndIsUtf8) {
  FieldViolations violations;
  for (int i = 0; i < 1000; ++i) violations.Add(std::string(5000, 'f'), std::string(5000, '\xff'));
  const grpc::Status status = ToGrpcStatus(violations.ToStatus());
  EXPECT_LT(status.error_message().size() + status.error_details().size(), 6000);
  EXPECT_TRUE(text::IsValidUtf8(status.error_message()));
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
}

TEST(FieldViolationsTest, NothingWrongIsOk) { EXPECT_TRUE(FieldViolations().ToStatus().ok()); }

TEST(FieldViolationsTest, MessageShowsTheFirstAndCountsTheRest) {
  FieldViolations violations;
  violations.Add("task.priority", "5000 is not between -1000 and 1000");
  EXPECT_EQ(violations.ToStatus().message(), "task.priority: 5000 is not between -1000 and 1000");
  violations.Add("task.delay", "-1s is negative");
  violations.Add("task.grace", "-1s is negative");
  EXPECT_EQ(violations.ToStatus().message(),
            "task.priority: 5000 is not between -1000 and 1000 (and 2 more)");
}

}  // namespace
}  // namespace prefork::rpc
