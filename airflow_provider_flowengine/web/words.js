// What both pages say, in both languages side by side, and how they write moments and lengths of time.
// A page adds words of its own. A value in {braces} is filled in.

const WORDS = {
  SECOND: ["s", "秒"],
  MINUTE: ["min", "分钟"],
  HOUR: ["h", "小时"],
  DAY: ["d", "天"],

  running: ["Running", "运行中"],
  stopping: ["Stopping", "停止中"],
  succeeded: ["Succeeded", "运行成功"],
  failed: ["Failed", "运行失败"],
  stopped: ["Stopped", "已停止"],
  waiting: ["Waiting", "等待中"],
  unreached: ["Not reached", "未运行"],

  state: ["State", "状态"],
  started: ["Started", "开始时间"],
  ended: ["Ended", "结束时间"],
  duration: ["Duration", "耗时"],
  trigger: ["Trigger", "触发方式"],
  手动触发: ["By hand", "手动触发"],
  周期触发: ["Interval", "周期触发"],
  定时触发: ["Cron", "定时触发"],
  消息触发: ["Message", "消息触发"],
  graph: ["Graph", "流程图"],
  timeline: ["Nodes", "节点"],
  jobParams: ["Start params", "启动参数"],
  none: ["None", "无"],
};

export const LANGUAGES = ["en", "zh"];

export let language = "en";

export function setLanguage(chosen) {
  language = chosen;
}

/** Add a page's own words: {word: [English, Chinese]}. */
export const addWords = (words) => Object.assign(WORDS, words);

/** Say something in the chosen language; a word that isn't in the table is said as it is. */
export function say(word, values = {}) {
  const text = WORDS[word]?.[LANGUAGES.indexOf(language)] ?? String(word ?? "");
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// Swedish writes yyyy-MM-dd HH:mm:ss.
const clockOf = (timeZone) => new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone });
let clock = clockOf();

/** Write moments in a time zone, e.g. Asia/Shanghai; the browser's own unless this is called. */
export function setTimeZone(zone) {
  clock = clockOf(zone);
}

/** A moment as yyyy-MM-dd HH:mm:ss; "–" for none. */
export const sayTime = (ms) => (ms == null ? "–" : clock.format(ms));

const pad = (number) => String(number).padStart(2, "0");

/** A length of time, precise to what matters: 0.8 s, 12 s, 3 min 05 s, 2 h 07 min. */
export function sayDuration(ms) {
  if (ms == null) return "–";
  const seconds = Math.max(0, ms) / 1000;
  const [s, min, h] = [say("SECOND"), say("MINUTE"), say("HOUR")];
  if (seconds < 10) return `${seconds.toFixed(1)} ${s}`;
  if (seconds < 60) return `${Math.floor(seconds)} ${s}`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} ${min} ${pad(Math.floor(seconds % 60))} ${s}`;
  return `${Math.floor(seconds / 3600)} ${h} ${pad(Math.floor((seconds % 3600) / 60))} ${min}`;
}
