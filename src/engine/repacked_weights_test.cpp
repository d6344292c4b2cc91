#include "engine/repacked_weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include "ggml-cpp.h"
#include "ggml.h"

namespace switchyard::engine {
namespace {

constexpr std::int64_t kNumbers = 1 << 20;

/// Two tensors in one buffer of the host, filled from a file that holds them one after the other.
class RepackedWeightsTest : public testing::Test {
 public:
  ~RepackedWeightsTest() override { std::filesystem::remove(path_); }

 protected:
  RepackedWeightsTest()
      : path_(std::filesystem::temp_directory_path() / ("switchyard-repacked-" + std::to_string(::getpid()))),
        numbers_(2 * kNumbers),
        context_(
            ggml_init({.mem_size = 4 * ggml_tensor_overhead(), .mem_buffer = nullptr, .no_alloc = true})) {
    std::iota(numbers_.begin(), numbers_.end(), 1.0F);
    write();
    for (ggml_tensor*& tensor : tensors_)
      tensor = ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32, kNumbers);
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), ggml_backend_cpu_buffer_type()));
  }
  void write() {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(numbers_.data()),
               static_cast<std::streamsize>(numbers_.size() * sizeof(float)));
  }
  /// As a load does it.
  void copy(RepackedWeights& weights, std::size_t which) {
    const float* data = numbers_.data() + which * kNumbers;
    ggml_backend_tensor_set(tensors_[which], data, 0, ggml_nbytes(tensors_[which]));
    weights.copied(tensors_[which], 0, static_cast<off_t>(which * kNumbers * sizeof(float)), data);
  }
  [[nodiscard]] bool complete() const {
    return std::ranges::all_of(tensors_, [&](const ggml_tensor* tensor) {
      const std::size_t which = tensor == tensors_[0] ? 0 : 1;
      return std::memcmp(tensor->data, numbers_.data() + which * kNumbers, ggml_nbytes(tensor)) == 0;
    });
  }

  const std::filesystem::path path_;
  std::vector<float> numbers_;
  ggml_context_ptr context_;
  std::array<ggml_tensor*, 2> tensors_{};
  ggml_backend_buffer_ptr buffer_;
};

TEST_F(RepackedWeightsTest, AreDroppedAndMadeAgain) {
  RepackedWeights weights({path_});
  copy(weights, 0);
  copy(weights, 1);
  weights.drop();
  ASSERT_TRUE(weights.dropped());
  EXPECT_EQ(static_cast<float*>(tensors_[1]->data)[kNumbers / 2], 0) << "the memory is still there";
  // Another file in the place of the one that was loaded changes nothing.
  std::filesystem::remove(path_);
  std::ofstream(path_) << "other";
  ASSERT_TRUE(weights.make_again());
  EXPECT_TRUE(complete());
  EXPECT_FALSE(weights.dropped());
  weights.drop();
  EXPECT_TRUE(weights.dropped()) << "as often as one likes";
}

TEST_F(RepackedWeightsTest, StayWhereThereAreMany) {
  RepackedWeights weights({path_});
  for (int i = 0; i < 40; ++i) copy(weights, static_cast<std::size_t>(i % 2));  // 160 MiB
  weights.drop();
  EXPECT_FALSE(weights.dropped());
  EXPECT_TRUE(complete());
}

TEST_F(RepackedWeightsTest, StayWhereSomethingElseSharesTheirBuffer) {
  RepackedWeights weights({path_});
  copy(weights, 0);
  ggml_backend_tensor_set(tensors_[1], numbers_.data() + kNumbers, 0, ggml_nbytes(tensors_[1]));
  weights.drop();
  EXPECT_FALSE(weights.dropped());
  EXPECT_TRUE(complete());
}

TEST_F(RepackedWeightsTest, StayWhereTheFileDoesNotHaveThem) {
  std::ofstream(path_) << "short";
  RepackedWeights weights({path_});
  copy(weights, 0);
  copy(weights, 1);
  weights.drop();
  EXPECT_FALSE(weights.dropped());
  EXPECT_TRUE(complete());
}

TEST_F(RepackedWeightsTest, AFileThatWasChangedInPlaceIsNotMixedIn) {
  RepackedWeights weights({path_});
  copy(weights, 0);
  copy(weights, 1);
  weights.drop();
  ASSERT_TRUE(weights.dropped());
  std::ranges::fill(numbers_, 7.0F);
  write();
  std::filesystem::last_write_time(path_,
                                   std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_FALSE(weights.make_again());
  EXPECT_TRUE(weights.dropped());
}

TEST_F(RepackedWeightsTest, NothingCopiedNothingDropped) {
  RepackedWeights weights({path_});
  weights.drop();
  EXPECT_FALSE(weights.dropped());
  EXPECT_TRUE(weights.make_again());
}

}  // namespace
}  // namespace switchyard::engine
