// What deploy/grafana/dashboards/freshet.json must be: Grafana's own types, with each panel's options by its kind.
// .ci/deploy-tools appends the file as a value and has tsc look at it.

import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
import type { Options as StateTimeline } from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// In JSON an enum's member is its text.
type Plain<T> = T extends string ? `${T}` : T extends readonly (infer E)[] ? Plain<E>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

interface Target {
  datasource: { type: 'prometheus'; uid: string };
  refId: string;
  expr: string;
  legendFormat: string;
  instant?: boolean;
  range?: boolean;
  format?: 'table' | 'time_series';
}

type Of<Kind extends string, Options> = Omit<Plain<Panel>, 'type' | 'options' | 'targets'> & {
  type: Kind;
  title: string;
  options: Plain<Partial<Options>>;
  targets: Target[];
};

type Shown =
  | Plain<RowPanel>
  | Of<'stat', Stat>
  | Of<'table', Table>
  | Of<'timeseries', TimeSeries>
  | Of<'state-timeline', StateTimeline>;

interface Annotation { name: string; enable: boolean; iconColor: string; datasource: Target['datasource']; expr: string; titleFormat: string }

type Freshet = Omit<Plain<Dashboard>, 'panels' | 'annotations'> & { panels: Shown[]; annotations: { list: Annotation[] } };

export const dashboard: Freshet =
