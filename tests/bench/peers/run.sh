#!/usr/bin/env bash
# Starts a broker, loads the samples, runs the variants, checks every output and prints a table.
#
#   ./run.sh all                 everything (about 20 minutes on 2 quiet cores)
#   ./run.sh up                  build, start the broker, load
#   ./run.sh one NAME ARGS...    one run, e.g.  ./run.sh one x streams variant=slot store=memory threads=2
#   ./run.sh restore NAME ARGS.. kill -9 halfway, wipe the state, start again
#   ./run.sh core                one part of all: core, settings, dsl, restores, others
#   ./run.sh table               the runs so far
#   ./run.sh down                stop the broker
#
# Parts of these, as `npm run bench -- window` and `restore` use them: build (Kafka Streams and samples alone),
# start, load, fresh, job KIND ARGS..., dump, verdict FILE.
#
# CACHE holds what is built and the samples, WORK the data of the broker and the runs (6 GiB); both lie below .weir/
# unless they are set. PORT and CONTROLLER_PORT are the broker's; MINUTES of samples are 480 unless set;
# BOOT and BROKER_PID name another broker, which is not started here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
CACHE=${CACHE:-${WEIR_CACHE:-$(cd "$here/../../.." && pwd)/.weir}/peers}
WORK=${WORK:-$CACHE/run}
PORT=${PORT:-19400}
CONTROLLER_PORT=${CONTROLLER_PORT:-$((PORT + 1))}
BOOT=${BOOT:-127.0.0.1:$PORT}
MINUTES=${MINUTES:-480}
RECORDS=$((1500 * MINUTES))
HEAP=${HEAP:-"-Xms512m -Xmx1g"}
OPENS="--add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED"
mkdir -p "$CACHE" "$WORK"
CACHE=$(cd "$CACHE" && pwd)
WORK=$(cd "$WORK" && pwd)
samples=$CACHE/samples-$MINUTES.ndjson
results=$WORK/results.tsv

java_() { java -cp "$CACHE/build/classes:$CACHE/build/lib/*" "$@"; }

# package FOLDER POM: builds unless the sources are those of the last time
package() {
  local stamp
  stamp=$(cd "$here" && find . -name "*.java" -o -name "*.xml" | LC_ALL=C sort | xargs cat | sha256sum)
  [ -f "$CACHE/$1.stamp" ] && [ "$(cat "$CACHE/$1.stamp")" = "$stamp" ] && return
  mvn -q -B -f "$here/$2" package -Dwork="$CACHE/$1" >&2
  echo "$stamp" >"$CACHE/$1.stamp"
}

build() {
  exec 9>"$CACHE/lock"
  flock 9
  package build pom.xml
  if [ ! -f "$samples" ]; then
    python3 "$here/gen.py" --minutes "$MINUTES" --out "$samples.part"
    mv "$samples.part.sha256" "$samples.sha256"
    mv "$samples.part" "$samples"
  fi
  local sum=8cc8aa4b4c4d0060a293d0732d9ed464b0521b214eb046a66e57cd8d9f5ea32b
  [ "$MINUTES" = 480 ] || sum=$(cat "$samples.sha256")
  echo "$sum  $samples" | sha256sum --check --quiet >&2
  exec 9>&-
}

build_others() {
  package flink-build flink/pom.xml
  if [ ! -d "$CACHE/venv" ]; then
    python3 -m venv "$CACHE/venv"
    "$CACHE/venv/bin/pip" install -q -r "$here/quix/requirements.txt"
  fi
}

running() { [ -f "$WORK/broker.pid" ] && kill -0 "$(cat "$WORK/broker.pid")" 2>/dev/null; }

start() {
  rm -rf "$WORK/kafka"
  # Record timestamps lie years back, so no time-based retention may run, on changelogs neither.
  cat >"$WORK/broker.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$WORK/kafka
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
log.retention.check.interval.ms=86400000
auto.create.topics.enable=true
file.delete.delay.ms=1000
P
  java_ kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c "$WORK/broker.properties" >"$WORK/format.log" 2>&1
  # exec: the pid is the broker's own
  (exec java -Xms512m -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -cp "$CACHE/build/classes:$CACHE/build/lib/*" \
    kafka.Kafka "$WORK/broker.properties" >"$WORK/broker.log" 2>&1) &
  echo $! >"$WORK/broker.pid"
  local i
  for i in $(seq 360); do
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && return
    running || break
    sleep 0.5
  done
  echo "the broker did not start, see $WORK/broker.log" >&2
  return 1
}

load() { java_ peers.Topics load bootstrap="$BOOT" file="$samples"; }

up() {
  build
  build_others
  if running; then return; fi
  start
  load
}

down() {
  [ -f "$WORK/broker.pid" ] && kill "$(cat "$WORK/broker.pid")" 2>/dev/null || true
  rm -f "$WORK/broker.pid"
}

# job KIND ARGS...: runs one job to its end, its JSON line on stdout
job() {
  local kind=$1; shift
  local run
  case $kind in
    streams) run=(java $HEAP -cp "$CACHE/build/classes:$CACHE/build/lib/*" peers.StreamsJob) ;;
    plain) run=(java $HEAP -cp "$CACHE/build/classes:$CACHE/build/lib/*" peers.PlainJob) ;;
    flink) run=(java $HEAP $OPENS -cp "$CACHE/flink-build/classes:$CACHE/flink-build/lib/*" peers.FlinkJob watch=outputs) ;;
    quix) run=("$CACHE/venv/bin/python" "$here/quix/quix_job.py") ;;
    *) echo "what is $kind?" >&2; return 1 ;;
  esac
  # The braces swallow the shell's word that a job was killed: `restore` wants that.
  { "${run[@]}" bootstrap="$BOOT" state="$WORK/state" expected="$RECORDS" \
    brokerPid="${BROKER_PID:-$(cat "$WORK/broker.pid")}" "$@" 2>"$WORK/job.err" | tail -1 || true; } 2>/dev/null
}

dump() { java_ peers.Topics dump bootstrap="$BOOT" file="$WORK/outputs.bin" >/dev/null 2>"$WORK/dump.err"; }

verdict() { PYTHONDONTWRITEBYTECODE=1 python3 "$here/check.py" --minutes "$MINUTES" "$1" || true; }

check() {
  dump
  verdict "$WORK/outputs.bin"
}

fresh() {
  rm -rf "$WORK/state"
  java_ peers.Topics reset bootstrap="$BOOT" 2>"$WORK/reset.err"
}

one() {
  local name=$1; shift
  fresh
  local out verdict
  # A new id each time: a group and its offsets outlive a process that did not leave.
  out=$(job "$@" app="$name-$(date +%s)")
  if [[ " $* " == *" mode=copy "* ]]; then verdict="copy: not checked"; else verdict=$(check); fi
  printf '%s\t%s\t%s\t%s\n' "$name" "$*" "$out" "$verdict" | tee -a "$results"
}

restore() {
  local name=$1; shift
  fresh
  local app out verdict
  app="$name-$(date +%s)"
  job "$@" app="$app" killAt=$((RECORDS / 2)) >/dev/null
  rm -rf "$WORK/state"
  out=$(job "$@" app="$app")
  verdict=$(check)
  printf '%s\t%s\t%s\t%s\n' "$name" "$*" "$out" "$verdict" | tee -a "$results"
}

# The main comparison, twice, so that the spread shows.
core() {
  local round c t
  for round in 1 2; do
    for c in 100 1000; do
      one copy plain mode=copy commit=$c
      one plain-features plain mode=features commit=$c
      for t in 1 2; do
        one slot-memory streams variant=slot store=memory commit=$c threads=$t
        one blob-rocksdb streams variant=blob store=rocksdb commit=$c threads=$t
        if [ $c = 100 ]; then
          one slot-rocksdb streams variant=slot store=rocksdb commit=$c threads=$t
          one blob-memory streams variant=blob store=memory commit=$c threads=$t
        fi
      done
    done
  done
}

dsl() {
  one dsl-packed-rocksdb streams variant=dsl serde=packed store=rocksdb commit=100 threads=2
  one dsl-json-rocksdb streams variant=dsl serde=json store=rocksdb tuned=false commit=100 threads=2 limitS="${DSL_LIMIT_S:-90}"
}

# What single settings do.
settings() {
  local round
  for round in 1 2; do
    one blob-rocksdb-nocache streams variant=blob store=rocksdb cache=false commit=100 threads=1
    one slot-memory-untuned streams variant=slot store=memory tuned=false commit=100 threads=1
    one slot-memory-at-least-once streams variant=slot store=memory guarantee=at_least_once commit=100 threads=1
  done
}

restores() {
  restore restore-default streams variant=slot store=rocksdb threads=2
  restore restore-static streams variant=slot store=rocksdb threads=2 kafka.group.instance.id=a
}

others() {
  local t
  for t in 1 2; do
    one flink-memory flink store=memory commit=1000 threads=$t
    one flink-memory flink store=memory commit=100 threads=$t
    one quix quix variant=stateful commit=100 workers=$t
  done
}

all() {
  up
  : >"$results"
  core
  settings
  dsl
  restores
  others
  table
  down
}

table() { python3 "$here/table.py" "$results"; }

"$@"
