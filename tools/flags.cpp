#include "flags.h"

#include <CLI/CLI.hpp>

#include "commands.h"

namespace precis {

namespace {

// The name that a message shall use: the long one where there is one ("-n,--max-tokens" -> "--max-tokens").
std::string main_name(const std::string& names) {
  const std::size_t at = names.find("--");
  const std::size_t begin = at == std::string::npos ? 0 : at;
  return names.substr(begin, names.find(',', begin) - begin);
}

}  // namespace

CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& description,
                      const std::string& examples) {
  CLI::App* app = program.add_subcommand(name, description);
  app->footer(examples);
  return app;
}

void Flag::required() {
  option_->required();
}

bool Flag::given() const {
  return option_->count() > 0;
}

std::string Flag::name() const {
  return option_->get_name();
}

Flag Flags::one(const std::string& names, const std::string& unit, const std::string& help, Convert convert) {
  auto take = [flag = main_name(names), convert = std::move(convert)](const CLI::results_t& values) {
    convert(flag, values.at(0));
    return true;
  };
  return Flag(app_.add_option(names, CLI::callback_t(std::move(take)), help)
                  ->type_name(unit)
                  ->group(heading_)
                  ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast));
}

Flag Flags::text(const std::string& names, const std::string& unit, std::string& target, const std::string& help) {
  return one(names, unit, help, [&target](const std::string&, const std::string& text) { target = text; });
}

Flag Flags::text(const std::string& names, const std::string& unit, std::optional<std::string>& target,
                 const std::string& help) {
  return one(names, unit, help, [&target](const std::string&, const std::string& text) { target = text; });
}

Flag Flags::path(const std::string& names, const std::string& unit, std::filesystem::path& target,
                 const std::string& help) {
  return one(names, unit, help, [&target](const std::string& flag, const std::string& text) {
    if (text.empty()) throw std::runtime_error(flag + ": a path is expected, '' given");
    target = text;
  });
}

Flag Flags::optional_path(const std::string& names, const std::string& unit,
                          std::optional<std::filesystem::path>& target, const std::string& help) {
  // Without a value CLI11 gives an empty one.
  auto take = [&target](const CLI::results_t& values) {
    target = values.at(0);
    return true;
  };
  return Flag(app_.add_option(names, CLI::callback_t(std::move(take)), help)
                  ->type_name(unit)
                  ->group(heading_)
                  ->expected(0, 1)
                  ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast));
}

Flag Flags::texts(const std::string& names, const std::string& unit, std::vector<std::string>& target,
                  const std::string& help) {
  auto take = [&target](const CLI::results_t& values) {
    target = values;
    return true;
  };
  return Flag(app_.add_option(names, CLI::callback_t(std::move(take)), help)
                  ->type_name(unit)
                  ->group(heading_)
                  ->type_size(1)
                  ->expected(1, CLI::detail::expected_max_vector_size)
                  ->allow_extra_args(false));
}

Flag Flags::flag(const std::string& names, bool& target, const std::string& help) {
  return flag(names, target, true, help);
}

Flag Flags::flag(const std::string& names, bool& target, bool value, const std::string& help) {
  return Flag(app_.add_flag_callback(
                      names, [&target, value] { target = value; }, help)
                  ->group(heading_));
}

Flag Flags::counts(const std::string& names, const std::string& unit, std::vector<std::int64_t>& target,
                   std::int64_t low, std::int64_t high, const std::string& help) {
  return one(names, unit, help, [&target, low, high](const std::string& flag, const std::string& text) {
    target = parse_counts(flag, text, low, high);
  });
}

Flag Flags::number(const std::string& names, const std::string& unit, std::optional<float>& target, double low,
                   double high, const std::string& help) {
  return one(names, unit, help, [&target, low, high](const std::string& flag, const std::string& text) {
    target = static_cast<float>(parse_number(flag, text, low, high));
  });
}

Flag Flags::number(const std::string& names, const std::string& unit, double& target, double low, double high,
                   const std::string& help) {
  return one(names, unit, help, [&target, low, high](const std::string& flag, const std::string& text) {
    target = parse_number(flag, text, low, high);
  });
}

Flag Flags::number(const std::string& names, const std::string& unit, std::optional<double>& target, double low,
                   double high, const std::string& help) {
  return one(names, unit, help, [&target, low, high](const std::string& flag, const std::string& text) {
    target = parse_number(flag, text, low, high);
  });
}

Flag Flags::bytes(const std::string& names, const std::string& unit, std::int64_t& target, const std::string& help) {
  return one(names, unit, help,
             [&target](const std::string& flag, const std::string& text) { target = parse_bytes(flag, text); });
}

}  // namespace precis
