// What this page says beside the words that it shares, and in which language.

import { addWords, LANGUAGES, language, say, setLanguage as speak } from "../web/words.js";

export { language, say };

addWords({
  title: ["FlowEngine emulator", "FlowEngine 模拟器"],
  engine: ["engine {id}, key {key} · {jobs}", "引擎 {id}，Key {key} · {jobs}"],
  jobsRun: ["jobs really run", "作业真实运行"],
  jobsSimulated: ["jobs are simulated", "作业为模拟"],
  connect: ["Connect Airflow…", "连接 Airflow…"],
  executes: ["SHELL and PYTHON3 jobs really run here; other types are simulated.", "SHELL 与 PYTHON3 作业在此真实运行，其他类型为模拟。"],
  simulates: ["Jobs are simulated here: nothing of them runs. Started with --execute, it runs them.", "作业在此仅为模拟，不会真正执行；用 --execute 启动可真实运行。"],
  connectionShell: ["In a shell, before Airflow starts", "启动 Airflow 之前，在 shell 中执行"],
  connectionJson: ["The same connection as JSON", "同一连接的 JSON"],
  copyLine: ["Copy the line", "复制命令"],
  copied: ["Copied", "已复制"],
  selected: ["The browser lets nothing be copied here: the line is selected, copy it by hand", "浏览器不允许在此复制：命令已选中，请手动复制"],
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
    "The sample churn_model is what the README's DAG and the example DAGs start; or write a definition of your own.",
    "示例 churn_model 就是 README 与示例 DAG 所启动的 Pipeline；也可以自己编写定义。",
  ],
  createSample: ["Create the sample", "创建示例"],
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
    "The pipeline object of FlowEngine's create call, or the definition (nodes, edges) alone. A simulated node is steered by its params: duration (seconds, or forever) and outcome (succeeded, failed, or failed_once).",
    "FlowEngine 添加 pipeline 接口的请求体，或仅其中的定义（nodes、edges）。参数 duration（秒数或 forever）与 outcome（succeeded、failed、failed_once）可控制模拟节点。",
  ],
  create: ["Create", "创建"],
  save: ["Save", "保存"],
  editButton: ["Edit…", "编辑…"],
  copyButton: ["Copy…", "复制…"],
  deleteButton: ["Delete…", "删除…"],
  delete: ["Delete", "删除"],
  editPipeline: ["Edit {name}", "编辑 {name}"],
  copyPipeline: ["Copy {name}", "复制 {name}"],
  copyOf: ["{name}, copy", "{name} 副本"],
  deletePipeline: ["Delete {name}?", "删除 {name}？"],
  deleteHint: ["The pipeline and all of its runs are deleted for good; what still runs of it is ended.", "该 Pipeline 及其全部运行记录将被永久删除，仍在进行的运行会被终止。"],
  pipelineChanged: ["Pipeline {id} has been changed", "已修改 Pipeline {id}"],
  pipelineDeleted: ["{name} has been deleted", "已删除 {name}"],

  SINGLE: ["By hand", "手动"],
  PERIODICAL: ["Every {interval} {unit}", "每 {interval} {unit}"],
  CRONTAB: ["Cron {cron}", "Cron {cron}"],
  MESSAGE: ["On message {topic}", "消息触发 {topic}"],

  history: ["Run history", "运行历史"],
  run: ["Run {id}", "运行 {id}"],
  runColumn: ["Run", "运行"],
  noRuns: ["This pipeline hasn't run yet", "该 Pipeline 还没有运行过"],
  pageOf: ["Page {page} of {pages}", "第 {page} / {pages} 页"],
  total: ["{total} in all", "共 {total} 次运行"],
  previous: ["Newer", "较新"],
  following: ["Older", "较早"],

  start: ["Start…", "启动…"],
  startFirst: ["Start it…", "立即启动…"],
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
  leave: ["Close", "关闭"],
  runStarted: ["Run {id} has started", "运行 {id} 已启动"],
  runStopping: ["Run {id} is being stopped", "正在停止运行 {id}"],
  runResumed: ["Run {id} goes on with the nodes that hadn't succeeded", "运行 {id} 从未成功的节点继续"],
  pipelineCreated: ["Pipeline {id} has been created", "已创建 Pipeline {id}"],

  node: ["Node", "节点"],
  type: ["Type", "类型"],
  attempts: ["Attempts", "尝试次数"],
  after: ["After", "上游"],
  params: ["Params", "参数"],
  output: ["Output", "输出"],
  message: ["Message", "消息"],
  log: ["Log", "日志"],
  openLog: ["Open as text", "以纯文本打开"],
  noLog: ["Nothing yet", "暂无日志"],
  details: ["Run", "运行"],
  pickNode: ["Pick a node to see its params and log.", "选择一个节点查看参数与日志。"],
  close: ["Back to the run", "返回运行"],

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
});

export function setLanguage(chosen) {
  speak(chosen);
  localStorage.setItem("language", chosen);
}

function preferred() {
  const kept = localStorage.getItem("language");
  if (LANGUAGES.includes(kept)) return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

speak(preferred());
