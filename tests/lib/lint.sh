# clang-format and clang-tidy. Sourced by tests/run.
sources() { git ls-files --cached --others --exclude-standard -- '*.cc' '*.h' | xargs -r ls -d 2>/dev/null; }

stage_format() {
  if sources | xargs -r clang-format-14 --dry-run -Werror >build/format.log 2>&1; then
    count_passed "clang-format"
  else
    grep 'error:' build/format.log | cut -d : -f 1 | sort | uniq -c | sed 's/^/   /'
    count_failed "clang-format (cure: clang-format-14 -i FILE)"
  fi
}

# clang-tidy looks at the units that the sanitizers' build compiles: all files of a library or program one after the
# other, and what they include once. What its verdict on a unit depends on is a list in build/tidy: the contents of
# every file of ours in it (from ninja's log), its command line, and the checks. Prints each unit's name and file.
write_tidy_inputs() {
  local commands=build/asan-ubsan/compile_commands.json
  rm -f build/tidy/*.inputs
  { sources; echo .clang-tidy; } | xargs sha256sum >build/tidy/hashes
  ninja -C build/asan-ubsan -t deps >build/tidy/deps
  awk -v root="$PWD/" '
    FILENAME ~ /hashes$/ { hash[$2] = $1; next }
    FILENAME ~ /compile_commands.json$/ {
      if (!match($0, / -o [^ ]+ -c [^ ]+\/Unity\/[^ ]+",$/)) next
      split(substr($0, RSTART, RLENGTH - 2), word, " ")
      unit = word[2]
      sub(/\.dir\/Unity\/.*/, "", unit)
      sub(/.*\//, "", unit)
      list = "build/tidy/" unit ".inputs"
      of_object[word[2]] = list
      print unit, word[4]
      print $0 "\n" hash[".clang-tidy"] > list
      next
    }
    /^[^ ]/ { object = $1; sub(/:$/, "", object); next }
    object in of_object {
      header = $1
      if (index(header, root) == 1) header = substr(header, length(root) + 1)
      sub(/^\.\.\/\.\.\//, "", header)  # ccache names files from the build folder
      if (header in hash) print hash[header] > of_object[object]
    }
  ' build/tidy/hashes "$commands" build/tidy/deps | sort -u
}

# A unit includes source files; that is no mistake of ours.
tidy_one() {
  local stamp=build/tidy/$1
  if cmp -s "$stamp.inputs" "$stamp.clean"; then
    echo "same $1"
  elif clang-tidy-14 -p build/asan-ubsan --checks=-bugprone-suspicious-include --quiet "$2" >"$stamp.log" 2>/dev/null; then
    mv "$stamp.inputs" "$stamp.clean"
    echo "clean $1"
  else
    grep -E 'error:|warning:' "$stamp.log" | sed 's/^/   /'
    echo "dirty $1"
  fi
}
export -f tidy_one

# Clang's own warnings, those of -Wthread-safety among them, are errors of the build.
stage_tidy() {
  build_with_python asan-ubsan all || return
  mkdir -p build/tidy
  write_tidy_inputs | xargs -P "$jobs" -L 1 bash -c 'tidy_one "$@"' tidy_one >build/tidy/result
  grep -vE '^(same|clean|dirty) ' build/tidy/result | sort -u
  local clean same
  clean=$(grep -c '^clean ' build/tidy/result)
  same=$(grep -c '^same ' build/tidy/result)
  echo "   $clean checked and clean, $same unchanged since they were"
  passed=$((passed + clean + same))
  local file
  while read -r _ file; do count_failed "clang-tidy $file"; done < <(grep '^dirty ' build/tidy/result)
}
