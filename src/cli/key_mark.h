#pragma once

#include <string>

namespace switchyard::cli {

/// A file in the data folder that says: keys were made here. Where they cannot be read any more (a damaged
/// database, one that another server has open) the server asks for keys all the same, instead of letting
/// everybody in. One thread at a time.
class KeyMark {
 public:
  /// Empty: there is no folder; nothing is ever set.
  explicit KeyMark(const std::string& data_dir)
      : path_(data_dir.empty() ? "" : data_dir + "/keys-were-made") {}
  [[nodiscard]] bool is_set() const;
  /// Does nothing where it is set. What cannot be written is tried again by the next call.
  void set();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
  bool known_ = false;  ///< to be set
};

}  // namespace switchyard::cli
