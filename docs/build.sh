#!/usr/bin/env bash
# The reference of every public module as one static site, from modules that are built already.
#
#   docs/build.sh MODULES SITE      MODULES: the folder of the .swiftmodule files; SITE: where the page goes, served below /docs
#
# The symbol graphs are read off the built modules and rendered by the docc of the toolchain, so that nothing is compiled or
# fetched for it. What a catalog names and the module has not is an error.
set -euo pipefail
modules=$1 site=$2
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=$(swift -print-target-info | sed -n 's/.*"unversionedTriple" *: *"\(.*\)".*/\1/p')
maps=()
while IFS= read -r map; do
  maps+=(-Xcc "-fmodule-map-file=$map" -Xcc "-I$(dirname "$map")")
done < <(find "$modules/../../../checkouts" "$modules/.." -name module.modulemap -path '*include*' 2>/dev/null \
  || true; find "$modules/.." -name module.modulemap -path '*Kernels*' 2>/dev/null || true)
archives=()
for folder in Duality Core Reference Numerics Quant Inference Verify; do
  module=Duality; [ "$folder" = Duality ] || module=Duality$folder
  mkdir -p "$work/$module"
  swift-symbolgraph-extract -module-name "$module" -target "$target" -I "$modules" ${maps[@]+"${maps[@]}"} \
    -Xcc "-I$root/Sources/Kernels/include" -minimum-access-level public -output-dir "$work/$module" >/dev/null
  docc convert "$root/Sources/$folder/$module.docc" --additional-symbol-graph-dir "$work/$module" \
    --fallback-display-name "$module" --fallback-bundle-identifier "duality.$module" --hosting-base-path docs \
    --output-path "$work/$module.doccarchive" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  if grep -E "doesn't exist at|No symbol matched" "$work/log"; then
    echo "the catalog or the comments of $module name what is not there"; exit 1
  fi
  archives+=("$work/$module.doccarchive")
done
rm -rf "$site"
docc merge "${archives[@]}" --synthesized-landing-page-name Duality --synthesized-landing-page-kind Package --output-path "$site"
echo "wrote $site; look at it with:  python3 -m http.server -d $(dirname "$site")  and  http://localhost:8000/docs/documentation"
