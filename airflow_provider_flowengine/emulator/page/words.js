// What the page says, in both languages side by side. A value in {braces} is filled in.

const WORDS = {
  title: ["FlowEngine emulator", "FlowEngine 模拟器"],
  engine: ["engine {id}, key {key}", "引擎 {id}，Key {key}"],
  whereabouts: ["Breadcrumb", "所在位置"],
  skip: ["Skip to the content", "跳到正文"],
  loading: ["Loading…", "加载中…"],
  noAnswer: ["No answer, trying again: {reason}", "没有响应，正在重试：{reason}"],

  pipelines: ["Offline pipelines", "离线 Pipeline"],
  pipeline: ["Pipeline", "Pipeline"],
  filter: ["Filter by name, key or id", "按名称、Key 或 ID 筛选"],
  newPipeline: ["New pipeline…", "新建 Pipeline…"],
  noPipelines: ["No pipelines yet", "还没有 Pipeline"],
  noPipelinesHint: [
    "Create one from its definition, the same JSON that FlowEngine's create call takes. An example is filled in for you.",
    "用 Pipeline 定义（与 FlowEngine 添加接口相同的 JSON）新建一个，已为您填好示例。",
  ],
  noMatch: ["No pipeline matches the filter", "没有符合条件的 Pipeline"],
  key: ["Key", "Key"],
  schedule: ["Schedule", "调度"],
  scheduleOn: ["On", "已开启"],
  scheduleOff: ["Off", "已关闭"],
  next: ["next {time}", "下次 {time}"],
  latestRuns: ["Latest runs", "最近运行"],
  nodes: ["Nodes", "节点"],
  created: ["Created", "创建时间"],
  definition: ["Definition", "Pipeline 定义"],
  definitionHint: [
    "The pipeline object of FlowEngine's create call. A simulated node is steered by its params: duration (seconds, or forever) and outcome (succeeded, failed, or failed_once).",
    "FlowEngine 添加 pipeline 接口的请求体。参数 duration（秒数或 forever）与 outcome（succeeded、failed、failed_once）可控制模拟节点。",
  ],
  create: ["Create", "创建"],

  SINGLE: ["By hand", "手动"],
  PERIODICAL: ["Every {interval} {unit}", "每 {interval} {unit}"],
  CRONTAB: ["Cron {cron}", "Cron {cron}"],
  MESSAGE: ["On message {topic}", "消息触发 {topic}"],
  SECOND: ["s", "秒"],
  MINUTE: ["min", "分钟"],
  HOUR: ["h", "小时"],
  DAY: ["d", "天"],

  history: ["Run history", "运行历史"],
  run: ["Run {id}", "运行 {id}"],
  runColumn: ["Run", "运行"],
  noRuns: ["This pipeline hasn't run yet", "该 Pipeline 还没有运行过"],
  state: ["State", "状态"],
  started: ["Started", "开始时间"],
  ended: ["Ended", "结束时间"],
  duration: ["Duration", "耗时"],
  trigger: ["Trigger", "触发方式"],
  手动触发: ["By hand", "手动触发"],
  周期触发: ["Interval", "周期触发"],
  定时触发: ["Cron", "定时触发"],
  消息触发: ["Message", "消息触发"],
  pageOf: ["Page {page} of {pages}", "第 {page} / {pages} 页"],
  total: ["{total} in all", "共 {total} 次运行"],
  previous: ["Newer", "较新"],
  following: ["Older", "较早"],

  start: ["Start…", "启动…"],
  startNow: ["Start", "启动"],
  startAgain: ["Start again…", "再次启动…"],
  startPipeline: ["Start {name}", "启动 {name}"],
  startHint: [
    "Only what you change is sent; the rest keeps the pipeline's own values.",
    "只提交您修改过的参数，其余沿用 Pipeline 自身的值。",
  ],
  noParams: ["This pipeline has no parameters.", "该 Pipeline 没有参数。"],
  wired: ["comes from another node", "来自上游节点"],
  fixed: ["can't be set at start", "启动时不可设置"],
  fileOf: ["A file for {key}", "为 {key} 选择文件"],
  stop: ["Stop", "停止"],
  resume: ["Resume", "继续运行"],
  cancel: ["Cancel", "取消"],
  runStarted: ["Run {id} has started", "运行 {id} 已启动"],
  runStopping: ["Run {id} is being stopped", "正在停止运行 {id}"],
  runResumed: ["Run {id} goes on with the nodes that hadn't succeeded", "运行 {id} 从未成功的节点继续"],
  pipelineCreated: ["Pipeline {id} has been created", "已创建 Pipeline {id}"],

  graph: ["Graph", "流程图"],
  timeline: ["Nodes", "节点"],
  node: ["Node", "节点"],
  type: ["Type", "类型"],
  attempts: ["Attempts", "尝试次数"],
  after: ["After", "上游"],
  jobParams: ["Start params", "启动参数"],
  params: ["Params", "参数"],
  none: ["None", "无"],
  output: ["Output", "输出"],
  message: ["Message", "消息"],
  log: ["Log", "日志"],
  openLog: ["Open as text", "以纯文本打开"],
  noLog: ["Nothing yet", "暂无日志"],
  details: ["Run", "运行"],
  pickNode: ["Pick a node to see its params and log.", "选择一个节点查看参数与日志。"],
  close: ["Back to the run", "返回运行"],

  running: ["Running", "运行中"],
  stopping: ["Stopping", "停止中"],
  succeeded: ["Succeeded", "运行成功"],
  failed: ["Failed", "运行失败"],
  stopped: ["Stopped", "已停止"],
  waiting: ["Waiting", "等待中"],
  unreached: ["Not reached", "未运行"],

  signIn: ["Sign in", "登录"],
  signInHint: ["The emulator asks for it, as its options say.", "根据模拟器的选项，需要先登录。"],
  accessKey: ["Access key", "Access Key"],
  user: ["User id", "用户 ID"],
  username: ["User name", "用户名"],
  password: ["Password", "密码"],

  notJson: ["FlowEngine answered {status} with something that isn't JSON", "FlowEngine 返回了 {status}，内容不是 JSON"],
  noConnection: ["FlowEngine can't be reached", "无法连接 FlowEngine"],
  badJson: ["This isn't JSON: {reason}", "不是有效的 JSON：{reason}"],
  otherPipeline: ["Run {id} isn't a run of pipeline {pipeline}, but of pipeline {other}", "运行 {id} 不属于 Pipeline {pipeline}，而属于 Pipeline {other}"],
  notFound: ["There is no such page", "页面不存在"],
};

const LANGUAGES = ["en", "zh"];

function preferred() {
  const kept = localStorage.getItem("language");
  if (LANGUAGES.includes(kept)) return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export let language = preferred();

export function setLanguage(chosen) {
  language = chosen;
  localStorage.setItem("language", chosen);
}

/** Say something in the chosen language; a word that isn't in the table is said as it is. */
export function say(word, values = {}) {
  const text = WORDS[word]?.[LANGUAGES.indexOf(language)] ?? word;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

const pad = (number) => String(number).padStart(2, "0");

/** A moment as yyyy-MM-dd HH:mm:ss in the reader's own zone; "–" for none. */
export function sayTime(ms) {
  if (ms == null) return "–";
  const at = new Date(ms);
  const day = [at.getFullYear(), pad(at.getMonth() + 1), pad(at.getDate())].join("-");
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

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
