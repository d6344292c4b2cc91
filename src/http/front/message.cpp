#include <algorithm>
#include <cctype>

#include "http/server.h"

namespace switchyard::http {

bool HeaderLess::operator()(std::string_view a, std::string_view b) const {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [&](char x, char y) { return lower(x) < lower(y); });
}

std::string Request::header(std::string_view name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? std::string() : it->second;
}

std::string Request::param(const std::string& name, std::string otherwise) const {
  const auto it = query.find(name);
  return it == query.end() ? otherwise : it->second;
}

}  // namespace switchyard::http
