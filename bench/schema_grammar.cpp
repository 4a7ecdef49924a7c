// Gives llama.cpp's GBNF for JSON schemas: bench-schema-grammar reads one schema per line and prints a line of JSON
// for each, {"grammar": ...} or {"error": ...}.
#include <json-schema-to-grammar.h>

#include <exception>
#include <iostream>
#include <string>

int main() {
    std::string line;
    while (std::getline(std::cin, line)) {
        common_json answer = common_json::object();
        try {
            answer["grammar"] = json_schema_to_grammar(common_json::parse(line), /*force_gbnf=*/true);
        } catch (const std::exception& error) {
            answer["error"] = error.what();
        }
        std::cout << answer.dump() << std::endl;
    }
    return 0;
}
